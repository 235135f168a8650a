"""Event logs: CCEL and dstack, read strictly, replayed into RTMRs."""

from __future__ import annotations

import hashlib
import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.attest.tdx import eventlog
from strongroom.errors import AttestationRefused
from tests.attest.dcap.support import check_td, refused, td
from tests.attest.simulated import intel

SPECIFICATION = (
    struct.pack("<II20xI", 0, 3, 33)
    + b"Spec ID Event03\0"
    + struct.pack("<I4B", 0, 0, 2, 0, 2)
    + struct.pack("<IHHB", 1, 0x0C, 48, 0)
)


def ccel(*events: tuple[int, int, bytes], tail: bytes = b"\xff" * 16) -> bytes:
    log = SPECIFICATION
    for register, kind, digest in events:
        log += (
            struct.pack("<IIIH", register, kind, 1, 0x0C) + digest + struct.pack("<I", 3) + b"abc"
        )
    return log + tail


def digest(text: str) -> bytes:
    return hashlib.sha384(text.encode()).digest()


LOG = ccel(
    (1, 8, digest("a")), (2, 8, digest("b")), (1, 3, digest("not extended")), (4, 8, digest("c"))
)


def extended(*digests: bytes) -> bytes:
    register = bytes(48)
    for one in digests:
        register = hashlib.sha384(register + one).digest()
    return register


RTMRS = (extended(digest("a")), extended(digest("b")), bytes(48), extended(digest("c")))


def test_a_log_that_replays_is_accepted_and_its_events_are_facts() -> None:
    quote = intel.tdx(intel.Td(rtmr=RTMRS))
    wanted = td(events=frozenset({f"3:{digest('c').hex()}"}))
    facts = check_td(quote, wanted, event_log=LOG)
    assert facts.claims["events"] == tuple(
        f"{register}:{digest(text).hex()}" for register, text in ((0, "a"), (1, "b"), (3, "c"))
    )


def test_a_missing_event_is_refused_although_the_log_replays() -> None:
    quote = intel.tdx(intel.Td(rtmr=RTMRS))
    with refused("attest.tdx_event_missing"):
        check_td(quote, td(events=frozenset({f"2:{digest('c').hex()}"})), event_log=LOG)


@pytest.mark.parametrize("register", range(4))
def test_every_register_is_compared(register: int) -> None:
    wrong = list(RTMRS)
    wrong[register] = bytes([9] * 48)
    with refused("attest.tdx_event_log_replay"):
        check_td(intel.tdx(intel.Td(rtmr=tuple(wrong))), event_log=LOG)  # type: ignore[arg-type]


@pytest.mark.parametrize("tail", [b"", b"\xff" * 64, bytes(64)])
def test_a_log_ends_at_its_end_or_in_one_padding(tail: bytes) -> None:
    assert eventlog.replay(eventlog.read(ccel((1, 8, digest("a")), tail=tail)))[0] == RTMRS[0]


ENTRY: dict[str, Any] = {
    "imr": 3,
    "event_type": eventlog.RUNTIME,
    "digest": "",
    "event": "app-id",
    "event_payload": "0102",
}


def entry(**changes: Any) -> bytes:
    return json.dumps([ENTRY | changes]).encode()


def test_the_digest_of_a_run_time_event_is_computed_from_it() -> None:
    (event,) = eventlog.read(entry())
    known = hashlib.sha384(b"\x01\0\0\x08:app-id:\x01\x02").digest()
    assert event == eventlog.Event(3, known)
    assert eventlog.read(entry(digest=known.hex())) == (event,)


@pytest.mark.parametrize(
    "log",
    [
        b"",
        b"[]",
        b"[{}]",
        entry(imr=4),
        entry(imr=-1),
        entry(digest="00" * 48),
        entry(event_type=1),
        entry(event_type=-1),
        entry(event_payload="zz"),
        entry(event_type=1, digest="00" * 32),
        entry(more=1),
        SPECIFICATION,
        LOG[:40],
        ccel((0, 8, digest("MRTD"))),
        ccel((5, 8, digest("a"))),
        ccel((1, 8, digest("a")), tail=b"\xff\xff\xff\xff\0"),
        ccel((1, 8, digest("a")), tail=b"\1"),
        ccel((1, 8, digest("a")), tail=b"")[:-1],
        LOG.replace(b"Event03", b"Event02"),
        LOG.replace(struct.pack("<HH", 0x0C, 48), struct.pack("<HH", 0x0B, 32), 1),
        ccel((1, 8, digest("a"))).replace(
            struct.pack("<IIIH", 1, 8, 1, 0x0C), struct.pack("<IIIH", 1, 8, 2, 0x0C)
        ),
        ccel((1, 8, digest("a"))).replace(
            struct.pack("<IH", 1, 0x0C) + digest("a"), struct.pack("<IH", 1, 0x0B) + digest("a")
        ),
        ccel(*[(1, 8, digest("a"))] * (eventlog.MAX_EVENTS + 1)),
        b"[" * 100_000,
        bytes(eventlog.MAX_LOG + 1),
    ],
)
def test_what_is_no_log_is_refused(log: bytes) -> None:
    with refused("attest.tdx_event_log"):
        eventlog.read(log)


@settings(deadline=None)
@given(st.integers(0, len(LOG) - 1), st.integers(1, 255))
def test_an_altered_log_is_refused_or_means_the_same(at: int, mask: int) -> None:
    """Only what is not extended may change: padding is read, data and kinds are not vouched for."""
    altered = LOG[:at] + bytes([LOG[at] ^ mask]) + LOG[at + 1 :]
    try:
        events = eventlog.read(altered)
    except AttestationRefused:
        return
    if eventlog.replay(events) == RTMRS:
        assert [event.digest for event in events] == [digest(text) for text in "abc"]


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_events_or_refused(log: bytes) -> None:
    for data in (log, SPECIFICATION + log):
        with suppress(AttestationRefused):
            eventlog.read(data)
