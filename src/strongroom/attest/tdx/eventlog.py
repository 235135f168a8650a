"""Event logs of a trust domain, replayed into the RTMRs that its quote must hold.

A register only ever becomes SHA-384(register ‖ digest), so a log that replays to the quote's
values is what was extended, in order. It proves digests, not their meaning: an event's data is
vouched for only where its digest is computed from it, as dstack's run-time events are.

- CCEL: the crypto-agile TCG event log (PC Client Platform Firmware Profile 1.06, section 10) that
  the ACPI table CCEL points to (UEFI 2.10, section 38.4.1); register index 1 to 4 means RTMR0 to 3.
- dstack: a JSON list of {imr, event_type, digest, event, event_payload}. An event of type
  0x08000001 has the digest SHA-384(type, little-endian, ‖ ":" ‖ event ‖ ":" ‖ payload).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import msgspec

from strongroom.attest.interface import refusal
from strongroom.attest.tdx.reasons import REASONS

MAX_LOG = 4 * 1024 * 1024
MAX_EVENTS = 10_000
NO_ACTION = 3
SHA384 = 0x000C
RUNTIME = 0x08000001
_SIGNATURE = b"Spec ID Event03\0"


@dataclass(frozen=True, slots=True)
class Event:
    """One extension: which RTMR (0 to 3) became SHA-384(itself ‖ digest)."""

    register: int
    digest: bytes

    @property
    def name(self) -> str:
        """``register:digest``, as expectations name it."""
        return f"{self.register}:{self.digest.hex()}"


class _Dstack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    imr: int
    event_type: int
    digest: str
    event: str
    event_payload: str


def read(log: bytes) -> tuple[Event, ...]:
    """The events of a CCEL or of a dstack log.

    Raises:
        EvidenceRefused: ``attest.tdx_event_log``.
    """
    try:
        if len(log) > MAX_LOG:
            raise ValueError("too long")
        events = _dstack(log) if log.lstrip()[:1] == b"[" else _ccel(log)
        if not events or len(events) > MAX_EVENTS:
            raise ValueError("too many events, or none")
        if any(not 0 <= event.register < 4 for event in events):
            raise ValueError("no such register")
        return events
    except (ValueError, OverflowError, RecursionError, struct.error, msgspec.MsgspecError) as error:
        raise refusal(REASONS, "attest.tdx_event_log") from error


def replay(events: tuple[Event, ...]) -> tuple[bytes, bytes, bytes, bytes]:
    """The RTMRs after ``events``, beginning with zeros."""
    registers = [bytes(48)] * 4
    for event in events:
        joined = registers[event.register] + event.digest
        registers[event.register] = hashlib.sha384(joined).digest()
    return registers[0], registers[1], registers[2], registers[3]


def _ccel(log: bytes) -> tuple[Event, ...]:
    at, events = _specification(log), []
    while at < len(log) and log[at : at + 4] not in {b"\xff" * 4, b""}:
        register, kind, count = struct.unpack_from("<III", log, at)
        if (register, kind, count) == (0, 0, 0):
            break
        at += 12
        if count != 1 or struct.unpack_from("<H", log, at) != (SHA384,):
            raise ValueError("another digest than SHA-384")
        digest = log[at + 2 : at + 50]
        (size,) = struct.unpack_from("<I", log, at + 50)
        at += 54 + size
        if at > len(log):
            raise ValueError("an event is cut off")
        if kind != NO_ACTION:
            events.append(Event(register - 1, digest))
        if len(events) > MAX_EVENTS:
            raise ValueError("too many events")
    rest = log[at:]
    if rest.strip(rest[:1]):
        raise ValueError("something follows the log's end")
    return tuple(events)


def _specification(log: bytes) -> int:
    """Skip the first event, which says which digests the others carry: SHA-384 alone."""
    _, kind, size = struct.unpack_from("<II20xI", log)
    data = log[32 : 32 + size]
    algorithms = struct.unpack_from("<IHH", data, 24)
    if kind != NO_ACTION or data[:16] != _SIGNATURE or algorithms != (1, SHA384, 48):
        raise ValueError("not a SHA-384 event log")
    return 32 + int(size)


def _dstack(log: bytes) -> tuple[Event, ...]:
    return tuple(map(_dstack_event, msgspec.json.decode(log, type=list[_Dstack])))


def _dstack_event(entry: _Dstack) -> Event:
    digest = bytes.fromhex(entry.digest)
    if entry.event_type == RUNTIME:
        head = struct.pack("<I", entry.event_type) + b":" + entry.event.encode("utf-8") + b":"
        computed = hashlib.sha384(head + bytes.fromhex(entry.event_payload)).digest()
        if digest not in {b"", computed}:
            raise ValueError("an event has another digest")
        digest = computed
    if len(digest) != 48:
        raise ValueError("not a SHA-384 digest")
    return Event(entry.imr, digest)
