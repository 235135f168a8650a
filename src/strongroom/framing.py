"""Cutting a byte stream into frames: the one framing that strongroom's sockets use.

A frame on the wire is

1. four bytes: the payload's length, unsigned, big-endian, at least 1 and at most the limit;
2. the payload.

Pure: bytes in, bytes out. What a payload means is the business of the room that sends it.
"""

from __future__ import annotations

import struct

from strongroom.errors import BoundaryRefused

_PREFIX = struct.Struct(">I")
PREFIX_BYTES = _PREFIX.size
LARGEST_LIMIT = 2**32 - 1
"""Largest payload that the prefix can announce, in bytes."""


def encode(payload: bytes, limit: int) -> bytes:
    """One frame around ``payload``.

    Raises:
        BoundaryRefused: ``framing.empty`` or ``framing.oversized`` (more than ``limit`` bytes).
    """
    _check(len(payload), limit)
    return _PREFIX.pack(len(payload)) + payload


class FrameBuffer:
    """Collects the bytes of one direction of one stream and returns the payloads in them.

    An announced length is judged as soon as its four bytes are there, so that a peer can make
    this buffer hold one frame of ``limit`` bytes at most, plus what the caller read at once.
    After a refusal the stream has no trustworthy position: every further ``feed`` is refused.

    Args:
        limit: largest accepted payload in bytes.
    """

    __slots__ = ("_broken", "_limit", "_most", "_pending")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._most = min(limit, LARGEST_LIMIT)
        self._pending = bytearray()
        self._broken = False

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Add received bytes; return every payload that is now complete, in order.

        Raises:
            BoundaryRefused: ``framing.empty``, ``framing.oversized`` or ``framing.broken`` (fed
                again after a refusal). Frames before the bad one in the same call are dropped.
        """
        if self._broken:
            raise BoundaryRefused(
                "framing.broken",
                "The stream continued after a frame that was refused.",
                action="Close the connection.",
            )
        try:
            return self._cut(data)
        except BoundaryRefused:
            self._broken = True
            self.wipe()
            raise

    def _cut(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        waiting = bool(self._pending)  # else whole frames need not be copied there and back
        if waiting:
            self._pending += data
        stream = self._pending if waiting else data
        payloads: list[bytes] = []
        start, size, most = 0, len(stream), self._most
        while (begin := start + PREFIX_BYTES) <= size:
            (length,) = _PREFIX.unpack_from(stream, start)
            if not 0 < length <= most:
                _check(length, self._limit)
            end = begin + length
            if end > size:
                break
            payloads.append(bytes(stream[begin:end]))
            start = end
        if waiting:
            del self._pending[:start]
        else:
            self._pending += data[start:]
        return payloads

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame; not zero at the end of a stream: cut off."""
        return len(self._pending)

    def wipe(self) -> None:
        """Overwrite and forget what is pending."""
        self._pending[:] = bytes(len(self._pending))
        self._pending.clear()


def _check(length: int, limit: int) -> None:
    if length == 0:
        raise BoundaryRefused(
            "framing.empty", "A frame without a payload.", action="Close the connection."
        )
    if length > min(limit, LARGEST_LIMIT):
        raise BoundaryRefused(
            "framing.oversized",
            f"A frame of {length} bytes, the limit is {limit}.",
            action="Close the connection; send less at a time.",
        )
