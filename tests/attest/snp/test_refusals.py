"""The semantic matrix: what must be refused, under a simulated AMD, each by its own code.

The first 24 rows are those of the project's list, for three products; the others leave no check
of :mod:`strongroom.attest.snp.verify` without a case that only it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from strongroom.attest.snp.expectations import Expectations
from tests.attest.simulated import amd

from .world import code_of, expectations, for_cloud, judge

Build = Callable[[str], amd.Case]
PAST = datetime(2026, 1, 1, tzinfo=UTC)
LOW = bytes([0, 0, 0, 0, 0, 0, 0, 1])


def fields(**changes: Any) -> Build:
    """The good chain, and a genuinely signed report that says something else."""
    return lambda p: amd.good(p).but(report=amd.Fields(p, **changes).report())


def leaf(**changes: Any) -> Build:
    """The good report under another certificate of the same key."""

    def build(p: str) -> amd.Case:
        case = amd.good(p)
        return case.but(certificates=(amd.Leaf(p, **changes).der(), *case.certificates[1:]))

    return build


def low(p: str) -> amd.Case:
    """A chip whose every TCB is old, with the certificate for exactly that TCB."""
    report = amd.Fields(p, reported=LOW, committed=LOW, current=LOW, launch=LOW).report()
    return amd.Case(report, (amd.Leaf(p, tcb=LOW).der(), *amd.good(p).certificates[1:]))


def other(p: str) -> str:
    return amd.PRODUCTS[(amd.PRODUCTS.index(p) + 1) % 3]


def whole_fake_chain(p: str) -> amd.Case:
    return amd.good(p).but(
        certificates=(
            amd.Leaf(p, issuer_key="attacker").der(),
            amd.ask(p, key="attacker", issuer_key="attacker"),
            amd.ark(p, key="attacker", issuer_key="attacker"),
        )
    )


def unparseable(p: str) -> amd.Case:
    case = amd.good(p)
    return case.but(certificates=(case.certificates[0][:-1], *case.certificates[1:]))


THE_24: dict[str, tuple[Build, str]] = {
    "replayed report data": (fields(report_data=b"\7" * 64), "attest.snp_report_data"),
    "unknown measurement": (fields(measurement=b"\7" * 48), "attest.snp_measurement"),
    "debug": (fields(policy=0xA0000), "attest.snp_debug"),
    "migration agent": (fields(policy=0x60000), "attest.snp_migration_agent"),
    "VMPL 3": (fields(vmpl=3), "attest.snp_vmpl"),
    "policy bit 17 clear": (fields(policy=0), "attest.snp_policy_bit_17"),
    "reported TCB is not the certificate's": (
        lambda p: fields(reported=amd.TCB[p][:-1] + b"\xfe")(p),
        "attest.snp_tcb_certificate",
    ),
    "low TCB everywhere": (low, "attest.snp_tcb_reported"),
    "launch TCB below the floor": (fields(launch=LOW), "attest.snp_tcb_launch"),
    "current is not committed": (fields(current=b"\xff" * 8), "attest.snp_provisional"),
    "VCEK of another chip": (
        lambda p: leaf(hwid=bytes(len(amd.hwid(p))))(p),
        "attest.snp_chip",
    ),
    "VCEK without hwID": (leaf(hwid=b""), "attest.snp_hwid_missing"),
    "expired VCEK": (leaf(end=PAST), "attest.snp_validity"),
    "other product name": (
        lambda p: fields(cpuid=amd.CPUID[other(p)])(p),
        "attest.snp_product",
    ),
    "VCEK signed by an attacker": (leaf(issuer_key="attacker"), "attest.snp_key_signature"),
    "whole fake chain": (whole_fake_chain, "attest.snp_root"),
    "version 1": (fields(version=1), "attest.snp_version"),
    "version 99": (fields(version=99), "attest.snp_version"),
    "signature algorithm 2": (fields(algorithm=2), "attest.snp_signature_algorithm"),
    "key_info VLEK with a VCEK": (fields(key_info=1 << 2), "attest.snp_key_kind"),
    "key_info NONE": (fields(key_info=7 << 2), "attest.snp_signing_key"),
    "MASK_CHIP_KEY with a chip id": (fields(key_info=2), "attest.snp_chip_mask"),
    "zero signature": (
        lambda p: amd.good(p).but(report=amd.Fields(p).body() + bytes(512)),
        "attest.snp_signature",
    ),
    "unparseable VCEK": (unparseable, "attest.snp_certificate"),
}


def with_ask(**changes: Any) -> Build:
    """The good report and VCEK under another certificate of the same ASK."""

    def build(p: str) -> amd.Case:
        vcek, _, root = amd.good(p).certificates
        return amd.good(p).but(certificates=(vcek, amd.ask(p, **changes), root))

    return build


def under_another_ask(p: str) -> amd.Case:
    """The chain's ASK is right, but its key's certificate names another issuer."""
    return leaf(issuer="SEV-Elsewhere")(p)


def renamed_product(p: str) -> amd.Case:
    return leaf(product_name="Naples-B1")(p)


def short(p: str) -> amd.Case:
    return amd.good(p).but(report=amd.good(p).report[:-1])


def padded(at: int) -> Build:
    def build(p: str) -> amd.Case:
        raw = bytearray(amd.good(p).report)
        raw[0x2A0 + at] = 1
        return amd.good(p).but(report=bytes(raw))

    return build


def with_crl(**changes: Any) -> Build:
    return lambda p: amd.good(p).but(crls=(amd.crl(p, **changes),))


MORE: dict[str, tuple[Build, str]] = {
    "a byte too few": (short, "attest.snp_length"),
    "padding of r": (padded(48), "attest.snp_signature_padding"),
    "padding of s": (padded(120), "attest.snp_signature_padding"),
    "last byte": (padded(511), "attest.snp_signature_padding"),
    "reserved bit of KEY_INFO": (fields(key_info=1 << 5), "attest.snp_key_info"),
    "reserved word behind KEY_INFO": (fields(reserved=1), "attest.snp_key_info"),
    "reserved signing key": (fields(key_info=3 << 2), "attest.snp_signing_key"),
    "two certificates": (
        lambda p: amd.good(p).but(certificates=amd.good(p).certificates[:2]),
        "attest.snp_chain_length",
    ),
    "four certificates": (
        lambda p: amd.good(p).but(certificates=(*amd.good(p).certificates, amd.ark(p))),
        "attest.snp_chain_length",
    ),
    "no product that is known": (renamed_product, "attest.snp_product_name"),
    "intermediate for VLEKs": (
        lambda p: amd.good(p).but(
            certificates=(
                amd.Leaf(p, issuer=f"SEV-VLEK-{p}", issuer_key="asvk").der(),
                amd.load(p, "asvk"),
                amd.load(p, "ark"),
            )
        ),
        "attest.snp_intermediate",
    ),
    "ASK of another name": (with_ask(common="SEV-Other"), "attest.snp_intermediate"),
    "key issued by another name": (under_another_ask, "attest.snp_names"),
    "ASK issued by another name": (with_ask(issuer="ARK-Elsewhere"), "attest.snp_names"),
    "ASK that is no authority": (with_ask(ca=False), "attest.snp_authority"),
    "ASK that may not sign": (with_ask(signs=False), "attest.snp_authority"),
    "ASK with a critical extension": (with_ask(critical=True), "attest.snp_critical"),
    "VCEK with a critical extension": (leaf(critical=True), "attest.snp_critical"),
    "ASK signed by an attacker": (
        with_ask(issuer_key="attacker"),
        "attest.snp_intermediate_signature",
    ),
    "expired ASK": (with_ask(end=PAST), "attest.snp_validity"),
    "list of another root": (with_crl(issuer="ARK-Elsewhere"), "attest.snp_crl_issuer"),
    "list signed by an attacker": (with_crl(key="attacker"), "attest.snp_crl_signature"),
    "stale list": (with_crl(days=0), "attest.snp_crl_stale"),
    "revoked ASK": (with_crl(revoked=(3, 7)), "attest.snp_revoked"),
    "unparseable list": (lambda p: amd.good(p).but(crls=(b"\x30\x00",)), "attest.snp_crl"),
    "second list bad": (
        lambda p: amd.good(p).but(crls=(amd.crl(p), amd.crl(p, revoked=(7,)))),
        "attest.snp_revoked",
    ),
    "signed by another chip": (fields(key="thief"), "attest.snp_signature"),
    "unknown policy bit": (fields(policy=0x20000 | 1 << 26), "attest.snp_policy_unknown"),
    "SMT": (fields(policy=0x30000), "attest.snp_smt"),
    "CXL": (fields(policy=0x220000), "attest.snp_cxl"),
    "hidden chip": (lambda p: fields(chip=bytes(64))(p), "attest.snp_chip"),
    "other firmware build": (
        fields(builds=bytes([41, 55, 1, 0, 40, 55, 1, 0])),
        "attest.snp_provisional",
    ),
    "committed below the floor": (
        fields(committed=LOW, current=LOW),
        "attest.snp_tcb_committed",
    ),
    "aliases unchecked": (fields(platform=0x0D), "attest.snp_alias_check"),
    "feature off": (fields(platform=0x21), "attest.snp_platform"),
    "other ID key": (fields(id_key=bytes(48)), "attest.snp_id_key"),
    "old guest": (fields(guest_svn=1), "attest.snp_guest_svn"),
    "other host data": (fields(host_data=bytes(32)), "attest.snp_host_data"),
}


@pytest.mark.parametrize("product", amd.PRODUCTS)
def test_the_good_report_is_accepted(product: str) -> None:
    """The positive control: what every case below alters is otherwise accepted."""
    case = amd.good(product)
    assert case.certificates[1] != amd.load(product, "asvk")
    assert code_of(case, expectations(product)) == ""
    with_list = case.but(crls=(amd.load(product, "crl"),))
    facts = judge(with_list, expectations(product, require_crl=True))
    assert facts.claims["revocations_checked"] is True
    assert facts.claims["not_compared"] == ()
    assert facts.product == product
    assert facts.chip == amd.hwid(product).hex()


@pytest.mark.parametrize("product", amd.PRODUCTS)
@pytest.mark.parametrize("case", THE_24)
def test_the_24_cases(case: str, product: str) -> None:
    build, code = THE_24[case]
    assert code_of(build(product), expectations(product)) == code


@pytest.mark.parametrize("product", amd.PRODUCTS)
@pytest.mark.parametrize("case", MORE)
def test_further_cases(case: str, product: str) -> None:
    build, code = MORE[case]
    assert code_of(build(product), expectations(product)) == code


def test_there_are_24_cases() -> None:
    assert len(THE_24) == 24


@pytest.mark.parametrize("product", amd.PRODUCTS)
def test_a_cloud_key(product: str) -> None:
    """A VLEK's report is accepted where the owner says so; each way of misusing one is refused."""
    case = amd.good(product, "VLEK")
    _, asvk, root = case.certificates

    def under(**changes: Any) -> amd.Case:
        settings: dict[str, Any] = {"kind": "VLEK", "key": "cloud", **changes}
        return case.but(certificates=(amd.Leaf(product, **settings).der(), asvk, root))

    facts = judge(case, for_cloud(product))
    assert (facts.chip, facts.claims["csp"]) == ("", amd.CSP)
    assert code_of(case, expectations(product)) == "attest.snp_key_choice"
    assert code_of(under(csp=None), for_cloud(product)) == "attest.snp_csp_missing"
    assert code_of(under(csp="CN=else"), for_cloud(product)) == "attest.snp_csp"
    as_chip = replace(amd.vlek_fields(product), key_info=0).report()
    assert code_of(case.but(report=as_chip), for_cloud(product)) == "attest.snp_key_kind"
    with_ask = case.but(certificates=(case.certificates[0], amd.ask(product), root))
    assert code_of(with_ask, for_cloud(product)) == "attest.snp_intermediate"
    hidden = replace(amd.vlek_fields(product), key_info=1 << 2 | 2)
    assert code_of(case.but(report=hidden.report()), for_cloud(product)) == ""


@pytest.mark.parametrize("product", amd.PRODUCTS)
def test_what_the_owner_may_choose(product: str) -> None:
    """Each expectation, once met in the strictest way and once not."""
    case = amd.good(product)
    hidden = case.but(report=amd.Fields(product, chip=bytes(64)).report())
    authored = case.but(report=amd.Fields(product, key_info=1).report())
    one_socket = case.but(report=amd.Fields(product, policy=0x120000).report())
    author = frozenset({amd.Fields(product).author_key.hex()})

    def code(built: amd.Case, **changes: Any) -> str:
        return code_of(built, expectations(product, **changes))

    assert code(case, products=frozenset()) == "attest.snp_product_choice"
    assert code(case, chips=frozenset({"00"})) == "attest.snp_chip_choice"
    assert code(hidden, allow_masked_chip=True, chips=None) == ""
    assert code(case, require_single_socket=True) == "attest.snp_single_socket"
    assert code(one_socket, require_single_socket=True) == ""
    assert code(case, require_crl=True) == "attest.snp_crl_missing"
    assert code(authored, author_keys=author) == ""
    assert code(authored, author_keys=frozenset({"00"})) == "attest.snp_author_key"
    assert code(case, author_keys=author) == "attest.snp_author_key", "not enabled"
    elsewhere = expectations(other(product)).minimum_tcb
    assert code(case, minimum_tcb=elsewhere) == "attest.snp_tcb_reported", "no floor for it"


def test_version_2_names_no_product_and_has_no_alias_check() -> None:
    fields_2 = amd.Fields("Milan", version=2, cpuid=(0, 0, 0))
    case = amd.good("Milan").but(report=fields_2.report())
    assert code_of(case, expectations("Milan")) == "attest.snp_alias_check"
    assert code_of(case, expectations("Milan", require_alias_check=False)) == ""


def test_milan_must_be_named() -> None:
    assert "Milan" not in Expectations().products
    case = amd.good("Milan")
    assert code_of(case, Expectations()) == "attest.snp_product_choice"
    assert code_of(amd.good("Genoa"), Expectations()) == ""


def test_a_report_is_judged_at_the_given_time() -> None:
    case = amd.good("Genoa")
    before, after = amd.START.timestamp(), amd.END.timestamp()
    assert code_of(case, expectations("Genoa"), int(before)) == ""
    assert code_of(case, expectations("Genoa"), int(before) - 1) == "attest.snp_validity"
    assert code_of(case, expectations("Genoa"), int(after)) == ""
    assert code_of(case, expectations("Genoa"), int(after) + 1) == "attest.snp_validity"
