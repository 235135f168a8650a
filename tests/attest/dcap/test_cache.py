"""What the platform cache may spare, and what it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from strongroom.attest.dcap import strict
from strongroom.attest.dcap.cache import AGE, SIZE, PlatformCache
from strongroom.attest.dcap.collateral import Collateral
from strongroom.attest.dcap.policy import PlatformPolicy
from strongroom.attest.dcap.quote import Quote
from strongroom.attest.dcap.strict import PlatformClaims
from tests.attest.dcap.support import check_enclave, check_td, enclave, platform, refused, td
from tests.attest.simulated import intel
from tests.attest.simulated.intel import NOW, Td


class Counted:
    """The real step, counted."""

    def __init__(self) -> None:
        self.calls = 0
        self.cache = PlatformCache(self)

    def __call__(
        self, quote: Quote, collateral: Collateral, now: int, root: bytes, policy: PlatformPolicy
    ) -> PlatformClaims:
        self.calls += 1
        return strict.verify(quote, collateral, now, root, policy)


@pytest.mark.parametrize("version", [4, 5])
def test_another_quote_of_a_known_platform_needs_its_signature_only(version: int) -> None:
    counted = Counted()
    first = check_td(intel.tdx(version=version), signatures=counted.cache)
    other = Td(report_data=bytes([7] * 64), mr_td=bytes([8] * 48))
    wanted = td(report_data="07" * 64)
    second = check_td(intel.tdx(other, version=version), wanted, signatures=counted.cache)
    assert counted.calls == 1
    assert (first.tcb, first.chip) == (second.tcb, second.chip)
    assert second.measurements["mrtd"] == "08" * 48


@pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64])
def test_a_known_platform_does_not_make_a_bad_signature_good(signature: bytes) -> None:
    counted = Counted()
    check_td(intel.tdx(), signatures=counted.cache)
    with refused("attest.dcap_quote_signature"):
        check_td(intel.tdx(signature=signature), signatures=counted.cache)
    with refused("attest.dcap_quote_signature"):
        check_td(intel.tdx(signed_by="attacker"), signatures=counted.cache)
    assert counted.calls == 1


def test_every_byte_of_the_signed_part_counts_on_a_known_platform() -> None:
    cache = PlatformCache()
    quote = intel.tdx()
    check_td(quote, signatures=cache)
    wanted = td(report_data="", any_report_data=True)
    for at in range(48 + 136, 48 + 584):
        altered = quote[:at] + bytes([quote[at] ^ 1]) + quote[at + 1 :]
        with refused("attest.dcap_quote_signature"):
            check_td(altered, wanted, signatures=cache)


@pytest.mark.parametrize(
    "changes",
    [
        {"attestation_key": "another", "signed_by": "another"},
        {"platform": replace(intel.Platform(), ppid=bytes(16))},
        {"body": Td(tee_tcb_svn=bytes([6, 1, 3]) + bytes(13)).body(False)},
        {"body": Td(mr_seam=bytes(48)).body(False)},
        {"qe": {"isv_svn": 7}},
        {"chain_text": intel.chain(*intel.Quote().pck_chain())},
    ],
)
def test_anything_else_that_differs_is_judged_anew(changes: dict[str, object]) -> None:
    counted = Counted()
    check_td(intel.tdx(), signatures=counted.cache)
    check_td(intel.tdx(**changes), signatures=counted.cache)
    assert counted.calls == 2


def test_policy_collateral_and_age_are_part_of_what_is_remembered() -> None:
    counted = Counted()
    check_td(intel.tdx(), signatures=counted.cache)
    check_td(intel.tdx(), td(platform=platform(minimum_evaluation=1)), signatures=counted.cache)
    newer = intel.collateral(info=intel.tcb_info(tcbEvaluationDataNumber=19))
    check_td(intel.tdx(), collateral=newer, signatures=counted.cache)
    assert counted.calls == 3
    check_td(intel.tdx(), now=NOW + AGE - 1, signatures=counted.cache)
    assert counted.calls == 3
    check_td(intel.tdx(), now=NOW + AGE, signatures=counted.cache)
    check_td(intel.tdx(), now=NOW - 1, signatures=counted.cache)
    assert counted.calls == 5


def test_what_was_accepted_is_refused_once_a_part_expires() -> None:
    """Dates are checked for every quote, remembered or not."""
    cache = PlatformCache()
    soon = intel.collateral(pck_crl=intel.revocations(intel.PCK_CA, until=NOW + 5))
    check_td(intel.tdx(), collateral=soon, signatures=cache)
    with refused("attest.dcap_collateral_expired"):
        check_td(intel.tdx(), collateral=soon, now=NOW + 6, signatures=cache)


def test_refusals_are_not_remembered() -> None:
    counted = Counted()
    for _ in range(2):
        with refused("attest.dcap_smt"):
            refusing = td(platform=platform(allow_smt=False))
            check_td(intel.tdx(), refusing, signatures=counted.cache)
    assert counted.calls == 2


def test_enclaves_are_remembered_by_all_but_their_report_data() -> None:
    counted = Counted()
    check_enclave(intel.sgx(), signatures=counted.cache)
    other = intel.enclave_report(report_data=bytes([7] * 64))
    check_enclave(intel.sgx(other), enclave(report_data="07" * 64), signatures=counted.cache)
    assert counted.calls == 1
    check_enclave(intel.sgx(intel.enclave_report(isv_svn=9)), signatures=counted.cache)
    assert counted.calls == 2


def test_memory_is_bounded() -> None:
    claims = PlatformClaims("UpToDate", (), 1, "", "", "", "0000", 0, "", "", "")
    cache = PlatformCache(lambda *_: claims)
    collateral = intel.collateral()
    for policy in range(SIZE + 3):
        wanted = td(platform=platform(minimum_evaluation=-policy))
        check_td(intel.tdx(), wanted, collateral=collateral, signatures=cache)
    assert len(cache._seen) == SIZE
