"""Bytes of quotes, certificates and collateral count: whichever is altered, it is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import AttestationRefused
from tests.attest import flips
from tests.attest.dcap.support import REAL, check_enclave, check_td, td
from tests.attest.simulated import intel

TARGETS = [*flips.simulated(), *(flips.genuine() if REAL.is_dir() else ())]
QUOTE = intel.tdx()


@pytest.mark.parametrize("number", range(len(TARGETS)), ids=lambda i: TARGETS[i].name)
def test_altered_bytes_are_refused(number: int) -> None:
    """Every 29th byte here, beginning elsewhere for each; all of them in ``tests.attest.flips``."""
    target = TARGETS[number]
    assert target.verify(target.data)
    assert not flips.accepted(target, step=29, start=number)


def test_header_body_and_signature_count() -> None:
    collateral = intel.collateral()
    wanted = td(report_data="", any_report_data=True)
    for at in range(0, 48 + 584 + 4 + 128, 4):
        altered = bytearray(QUOTE)
        altered[at] ^= 0x80
        with pytest.raises(AttestationRefused):
            check_td(bytes(altered), wanted, collateral=collateral)


@settings(deadline=None)
@given(st.binary(max_size=700))
def test_any_bytes_are_refused(data: bytes) -> None:
    for check in (check_td, check_enclave):
        for quote in (data, QUOTE[:48] + data, QUOTE[:636] + data):
            with pytest.raises(AttestationRefused):
                check(quote)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(QUOTE)), st.binary(max_size=8), st.integers(0, 8))
def test_any_splice_is_refused_or_is_the_same_quote(at: int, put: bytes, gone: int) -> None:
    altered = QUOTE[:at] + put + QUOTE[at + gone :]
    with suppress(AttestationRefused):
        check_td(altered)
        assert altered.rstrip(b"\0") == QUOTE.rstrip(b"\0")


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*intel.collateral(), "other"]), st.binary(max_size=60), max_size=10
    )
)
def test_any_collateral_is_refused(parts: dict[str, bytes]) -> None:
    for collateral in (parts, intel.collateral() | parts):
        if collateral != intel.collateral():
            with pytest.raises(AttestationRefused):
                check_td(QUOTE, collateral=collateral)


DEEP = {
    "tcb_info": b"[" * 500_000,
    "qe_identity": b'{"a":' * 200_000,
    "pck_crl": b"\x30\x84\x7f\xff\xff\xff",
    "tcb_info_issuer_chain": b"-----BEGIN CERTIFICATE-----\n" * 50_000,
}


@pytest.mark.parametrize("part", DEEP)
def test_deep_and_long_collateral_is_refused(part: str) -> None:
    with pytest.raises(AttestationRefused):
        check_td(QUOTE, collateral=intel.collateral() | {part: DEEP[part]})
