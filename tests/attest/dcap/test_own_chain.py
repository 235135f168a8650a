"""Our judgement of chains and collateral beside dcap-qvl's own, which reads both by itself.

Our checks of them come first, so that dcap-qvl is asked only about what passed. Here it is asked
about what did not: it must refuse as well, but for the few matters that are ours alone.
"""

from __future__ import annotations

import pytest

from strongroom.attest.dcap import collateral, strict
from strongroom.attest.dcap import quote as quotes
from strongroom.attest.dcap.policy import PlatformPolicy
from strongroom.attest.dcap.reasons import REASONS
from strongroom.attest.interface import Checks
from strongroom.errors import AttestationRefused
from tests.attest.dcap.support import PLATFORM, REAL_2025, blob, pieces, real
from tests.attest.simulated import intel
from tests.attest.tdx.test_semantic import CASES

FRAMED = ("attest.dcap_collateral_missing", "attest.dcap_collateral_malformed")
OURS_ALONE = {
    "platform not listed",
    "QE report data that goes on after the binding",
    "a chain of two",
    "revocation list of tomorrow",
    "TCB info of another PCE",
    "revocation list with another CA beside it",
    "collateral under another root",
}
"""Stricter than it needs to be, or the owner's choice: dcap-qvl by itself takes these."""


def asked(
    raw: bytes, parts: dict[str, bytes], now: int, root: bytes, policy: PlatformPolicy
) -> bool:
    """Whether dcap-qvl by itself takes a quote that is framed as it must be."""
    framed = quotes.parse(raw, "TDX", Checks(REASONS))
    try:
        strict.verify(framed, collateral.read(parts), now, root, policy)
    except AttestationRefused:
        return False
    return True


def refused_by_us() -> dict[str, bool]:
    """Each case of chain, collateral, TCB or QE that we refuse: whether dcap-qvl takes it."""
    found = {}
    for name, make in CASES.items():
        code, raw, wanted, more = make()
        if not code.startswith("attest.dcap_") or code in FRAMED:
            continue
        parts, now = more.get("collateral", intel.collateral()), more.get("now", intel.NOW)
        try:
            quotes.parse(raw, "TDX", Checks(REASONS))
        except AttestationRefused:
            continue  # not framed: nobody is asked
        found[name] = asked(raw, parts, now, intel.root_der(), wanted.platform)
    return found


def test_dcap_qvl_refuses_what_our_chain_refuses() -> None:
    found = refused_by_us()
    assert len(found) >= 55
    assert {name for name, taken in found.items() if taken} == OURS_ALONE


@pytest.mark.parametrize("version", [4, 5])
def test_both_accept_a_good_quote(version: int) -> None:
    raw, parts = intel.tdx(version=version), intel.collateral()
    assert asked(raw, parts, intel.NOW, intel.root_der(), PLATFORM)


@real
def test_both_accept_the_genuine_quote_and_neither_outside_of_its_time() -> None:
    raw, parts = blob("tdx/v4_quote.bin"), pieces("tdx/v4_collateral.json")
    root = blob("tdx/intel_sgx_root_ca.der")
    for days, wanted in ((0, True), (-30, False), (30, False)):
        now = REAL_2025 + days * 86_400
        assert asked(raw, parts, now, root, PLATFORM) is wanted
