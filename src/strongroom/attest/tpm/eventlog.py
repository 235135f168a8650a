"""Replay a measured-boot log: TCG PC Client Platform Firmware Profile 1.05, section 10.

The crypto-agile log begins with one event in the old format (TCG_PCClientPCREvent, all numbers
little-endian) whose data is the specification id event, which lists the hash algorithms and their
sizes; TCG_PCR_EVENT2 structures follow. Only the SHA-256 digests count here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from strongroom.attest.tpm.wire import SHA256, Reader

MAX_BYTES = 4 * 1024 * 1024
MAX_EVENTS = 8192
MAX_ALGORITHMS = 8
PCRS = 24
NO_ACTION = 0x00000003
SPECIFICATION = b"Spec ID Event03\0"
STARTUP_LOCALITY = b"StartupLocality\0"
# Events whose digest is over exactly their data (table 27): separator, action, EFI action, the
# EFI variable events and GPT. Of the others the digest is over what was loaded.
SPELLED_OUT = frozenset(
    {0x00000004, 0x00000005, 0x80000001, 0x80000002, 0x80000006, 0x80000007, 0x800000E0}
)


@dataclass(frozen=True, slots=True)
class Event:
    """One measured event: the PCR it extends, its type, SHA-256 digest and data."""

    pcr: int
    type: int
    digest: bytes
    data: bytes


def read(log: bytes) -> tuple[Event, ...] | None:
    """The events of a crypto-agile log, or ``None`` if it is not framed as required."""
    if len(log) > MAX_BYTES:
        return None
    try:
        reader = Reader(log)
        sizes = _algorithms(reader)
        events = []
        while reader.left:
            events.append(_event(reader, sizes))
            if len(events) > MAX_EVENTS:
                return None
    except (ValueError, KeyError):
        return None
    return tuple(events)


def replay(events: Iterable[Event]) -> dict[int, bytes]:
    """The PCR values to which the events lead, of the PCRs that they extend."""
    values: dict[int, bytes] = {}
    start = bytes(32)
    for event in events:
        if event.type == NO_ACTION:
            if event.data.startswith(STARTUP_LOCALITY) and len(event.data) == 17:
                start = bytes(31) + event.data[16:]
            continue
        before = values.get(event.pcr, start if event.pcr == 0 else bytes(32))
        values[event.pcr] = hashlib.sha256(before + event.digest).digest()
    return values


def is_true(event: Event) -> bool:
    """Whether the digest is that of the data, for the types of event where it must be."""
    if event.type not in SPELLED_OUT:
        return True
    return hashlib.sha256(event.data).digest() == event.digest


def _algorithms(reader: Reader) -> dict[int, int]:
    """Read the specification id event: hash algorithm to digest size."""
    pcr, kind = reader.number(4, "little"), reader.number(4, "little")
    digest, size = reader.take(20), reader.number(4, "little")
    data = Reader(reader.take(size))
    if (pcr, kind, digest) != (0, NO_ACTION, bytes(20)) or data.take(16) != SPECIFICATION:
        raise ValueError("no crypto-agile log")
    data.take(8)  # platform class, specification version, size of a native integer
    count = data.number(4, "little")
    if not 1 <= count <= MAX_ALGORITHMS:
        raise ValueError("algorithms")
    sizes = {data.number(2, "little"): data.number(2, "little") for _ in range(count)}
    data.take(data.number(1))
    data.end()
    if sizes.get(SHA256) != 32 or len(sizes) != count:
        raise ValueError("no SHA-256")
    return sizes


def _event(reader: Reader, sizes: dict[int, int]) -> Event:
    pcr, kind, count = (reader.number(4, "little") for _ in range(3))
    if pcr >= PCRS or count != len(sizes):
        raise ValueError("event")
    digests = {}
    for _ in range(count):
        algorithm = reader.number(2, "little")
        digests[algorithm] = reader.take(sizes[algorithm])
    data = reader.take(reader.number(4, "little"))
    return Event(pcr, kind, digests[SHA256], data)
