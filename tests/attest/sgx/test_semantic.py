"""Every way in which an SGX quote can be genuine but wrong, each with its own reason code."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.attest.bundle import Bundle
from strongroom.attest.registry import verify_bundle
from strongroom.attest.sgx.verify import verify
from tests.attest.dcap.second import genuine
from tests.attest.dcap.support import (
    DATA,
    REAL_2025,
    blob,
    check_enclave,
    enclave,
    pieces,
    platform,
    real,
    refused,
)
from tests.attest.simulated import intel

XFRM = "e700000000000000"


def flags(value: int) -> dict[str, bytes]:
    return {"attributes": value.to_bytes(8, "little") + bytes.fromhex(XFRM)}


REPORTS: list[tuple[str, dict[str, Any]]] = [
    ("attest.sgx_debug", flags(0x7)),
    ("attest.sgx_initialised", flags(0x4)),
    ("attest.sgx_initialised", flags(0x1)),
    ("attest.sgx_provisioning", flags(0x15)),
    ("attest.sgx_provisioning", flags(0x25)),
    ("attest.sgx_attributes", flags(0x45)),
    ("attest.sgx_attributes", flags(1 << 40 | 5)),
    ("attest.sgx_reserved", {"reserved1": b"\1" + bytes(27)}),
    ("attest.sgx_reserved", {"reserved2": b"\1" + bytes(31)}),
    ("attest.sgx_reserved", {"reserved3": b"\1" + bytes(95)}),
    ("attest.sgx_reserved", {"reserved4": b"\0\0\1" + bytes(57)}),
]
WANTED: list[tuple[str, dict[str, Any]]] = [
    ("attest.sgx_xfrm", {"xfrm": frozenset({3})}),
    ("attest.sgx_mrenclave", {"mrenclave": frozenset({"00" * 32})}),
    ("attest.sgx_mrenclave", {"mrenclave": frozenset()}),
    ("attest.sgx_mrsigner", {"mrsigner": frozenset({"00" * 32})}),
    ("attest.sgx_product", {"products": frozenset({8})}),
    ("attest.sgx_isv_svn", {"minimum_isv_svn": 4}),
    ("attest.sgx_report_data", {"report_data": "db" * 64}),
    ("attest.sgx_report_data", {"report_data": ""}),
    ("attest.dcap_smt", {"platform": platform(allow_smt=False)}),
    ("attest.dcap_platform", {"platform": platform(platforms=frozenset())}),
    ("attest.dcap_tcb_evaluation", {"platform": platform(minimum_evaluation=19)}),
]
FRAMED: list[tuple[str, dict[str, Any]]] = [
    ("attest.dcap_version", {"version": 4, "body": bytes(584)}),
    ("attest.dcap_tee_type", {"tee_type": 0x81}),
    ("attest.dcap_key_type", {"key_type": 3}),
    ("attest.dcap_qe_vendor", {"qe_vendor": bytes(16)}),
    ("attest.dcap_trailing", {"padding": b"\0x"}),
    ("attest.dcap_certification_type", {"certification_type": 1}),
    ("attest.dcap_quote_signature", {"signed_by": "attacker"}),
    ("attest.dcap_qe_signature", {"qe_signed_by": "attacker"}),
    ("attest.dcap_attestation_key", {"attestation_key": "x", "qe": {"report_data": bytes(64)}}),
    ("attest.dcap_chain_signature", {"pck": {"issuer_key": "attacker"}}),
    ("attest.dcap_certificate_expired", {"pck": {"not_after": intel.NOW - 1}}),
]


@pytest.mark.parametrize(("code", "report"), REPORTS)
def test_an_enclave_that_is_exposed_is_refused(code: str, report: dict[str, Any]) -> None:
    with refused(code):
        check_enclave(intel.sgx(intel.enclave_report(**report)))


@pytest.mark.parametrize(("code", "changes"), WANTED)
def test_another_enclave_than_expected_is_refused(code: str, changes: dict[str, Any]) -> None:
    with refused(code):
        check_enclave(intel.sgx(), enclave(**changes))


@pytest.mark.parametrize(("code", "changes"), FRAMED)
def test_a_bad_quote_is_refused(code: str, changes: dict[str, Any]) -> None:
    with refused(code):
        check_enclave(intel.sgx(**changes))


def test_collateral_for_trust_domains_is_refused() -> None:
    with refused("attest.dcap_collateral_kind"):
        check_enclave(intel.sgx(), collateral=intel.collateral("TDX"))
    with refused("attest.dcap_collateral_missing"):
        check_enclave(intel.sgx(), collateral=None)


def test_the_good_quote_is_accepted() -> None:
    wanted = enclave(
        mrenclave=frozenset({"e1" * 32}),
        mrsigner=frozenset({"51" * 32}),
        products=frozenset({7}),
        minimum_isv_svn=3,
        xfrm=frozenset({0xE7}),
    )
    facts = check_enclave(intel.sgx(), wanted)
    assert facts.measurements == {"mrenclave": "e1" * 32, "mrsigner": "51" * 32}
    assert facts.report_data == DATA
    assert facts.claims["not_compared"] == ()
    assert (facts.kind, facts.assurance, facts.debug) == ("sgx", "HARDWARE", False)
    assert check_enclave(intel.sgx(intel.enclave_report(**flags(0x485)))).claims["flags"] == "485"


@real
def test_the_real_quote_is_accepted_only_under_the_policy_it_deserves() -> None:
    bundle = Bundle(
        kind="sgx",
        evidence={"quote": blob("sgx/v3_quote.bin")},
        collateral=pieces("sgx/v3_collateral.json"),
    )
    chosen: dict[str, Any] = {"any_report_data": True}
    with refused("attest.dcap_tcb_status"):
        verify_bundle(bundle, now=REAL_2025, expectations={"sgx": chosen})
    chosen["platform"] = {"statuses": ["ConfigurationAndSWHardeningNeeded"]}
    (facts,) = verify_bundle(bundle, now=REAL_2025, expectations={"sgx": chosen})
    assert facts.measurements["mrenclave"].startswith("33d8736db756ed49")
    assert facts.claims["advisories"] == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert facts.report_data.startswith(b"Hello, world!")


@real
def test_the_real_debug_enclave_is_refused_although_genuine() -> None:
    quote = blob("sgx/v3_debug_enclave.dat")
    assert genuine(quote, blob("tdx/intel_sgx_root_ca.der"))
    with refused("attest.sgx_debug"):
        verify(quote, now=REAL_2025, collateral=None, expectations=enclave())
