"""Whatever a quote is made of, the verifier refuses or accepts, in bounded time."""

from __future__ import annotations

import time
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.attest.tpm import eventlog, wire
from strongroom.errors import AttestationRefused
from tests.attest.simulated import tpm as sim

from .world import AREA, PARTIES, UPPER, certified, judge, quote

GOOD = quote()
MESSAGE, SIGNATURE = GOOD.message, GOOD.signature
LOG = sim.log()
LOGGED = sim.logged_pcrs()
LEAF = PARTIES["ak"].der
FAST = settings(max_examples=200, deadline=None)


def splice(whole: bytes, at: int, put: bytes, gone: int) -> bytes:
    return whole[:at] + put + whole[at + gone :]


@FAST
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_are_none(data: bytes) -> None:
    for text in (data, MESSAGE[:10] + data, AREA[:8] + data, SIGNATURE[:4] + data):
        wire.read_attest(text)
        wire.read_signature(text)
        wire.read_public(text)
        eventlog.read(text)
        eventlog.read(sim.log_head() + text)


@FAST
@given(st.integers(0, len(MESSAGE)), st.binary(max_size=8), st.integers(0, 8))
def test_a_spliced_message_is_refused_or_is_the_same(at: int, put: bytes, gone: int) -> None:
    altered = splice(MESSAGE, at, put, gone)
    with suppress(AttestationRefused):
        judge(GOOD, message=altered, signature=SIGNATURE)
        assert altered == MESSAGE


@FAST
@given(st.integers(0, len(SIGNATURE)), st.binary(max_size=8), st.integers(0, 8))
def test_a_spliced_signature_is_refused_or_is_the_same(at: int, put: bytes, gone: int) -> None:
    altered = splice(SIGNATURE, at, put, gone)
    with suppress(AttestationRefused):
        judge(GOOD, message=MESSAGE, signature=altered)
        assert wire.read_signature(altered) == wire.read_signature(SIGNATURE)


@FAST
@given(st.integers(0, len(LOG)), st.binary(max_size=8), st.integers(0, 8))
def test_a_spliced_log_is_refused_or_leads_to_the_values(at: int, put: bytes, gone: int) -> None:
    altered = splice(LOG, at, put, gone)
    sample = quote(pcrs=LOGGED)
    with suppress(AttestationRefused):
        judge(sample, log=altered)
        if altered:
            replayed = eventlog.replay(eventlog.read(altered) or ())
            assert all(LOGGED[number] == value for number, value in replayed.items())


@FAST
@given(st.integers(0, len(LEAF)), st.binary(max_size=8), st.integers(0, 40))
def test_a_spliced_certificate_is_refused_or_is_the_same(at: int, put: bytes, gone: int) -> None:
    altered = splice(LEAF, at, put, gone)
    with suppress(AttestationRefused):
        certified(altered, *UPPER)
        assert altered == LEAF


def test_the_longest_log_takes_bounded_time() -> None:
    tiny = sim.event(0, 8, bytes(32), b"")
    begin = time.perf_counter()
    assert eventlog.read(sim.log_head() + tiny * eventlog.MAX_EVENTS) is not None
    assert eventlog.read(sim.log_head() + tiny * (eventlog.MAX_EVENTS + 1)) is None
    assert eventlog.read(sim.log_head() + b"\xff" * eventlog.MAX_BYTES) is None
    assert time.perf_counter() - begin < 2
