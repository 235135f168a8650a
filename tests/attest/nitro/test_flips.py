"""Whichever byte of a document is altered, the document is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.attest.nitro.expectations import Expectations
from strongroom.attest.nitro.verify import verify
from strongroom.errors import AttestationRefused
from tests.attest.dcap.support import real
from tests.attest.nitro.support import REAL_NOW, captured, check
from tests.attest.simulated import nitro

DOCUMENT = nitro.document()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def test_bytes_of_a_document_count() -> None:
    assert check(DOCUMENT)
    accepted = []
    for at in range(0, len(DOCUMENT), 3):
        with suppress(AttestationRefused):
            check(flipped(DOCUMENT, at))
            accepted.append(at)
    assert not accepted


@real
def test_bytes_of_a_real_document_count() -> None:
    """Every seventh here; ``python -m tests.attest.flips`` takes them all."""
    document, any_nonce = captured("doc_1.bin"), Expectations(any_nonce=True)
    assert verify(document, now=REAL_NOW, expectations=any_nonce)
    accepted = []
    for at in range(0, len(document), 7):
        with suppress(AttestationRefused):
            verify(flipped(document, at), now=REAL_NOW, expectations=any_nonce)
            accepted.append(at)
    assert not accepted


@pytest.mark.parametrize("size", [1, 2, 16, 96, 500])
def test_a_document_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(AttestationRefused):
        check(DOCUMENT[:-size])


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(AttestationRefused):
        check(data)


@settings(deadline=None)
@given(st.integers(0, len(DOCUMENT) - 1), st.binary(max_size=6), st.integers(0, 6))
def test_any_splice_is_refused_or_changes_nothing(at: int, put: bytes, gone: int) -> None:
    altered = DOCUMENT[:at] + put + DOCUMENT[at + gone :]
    if altered != DOCUMENT:
        with pytest.raises(AttestationRefused):
            check(altered)
