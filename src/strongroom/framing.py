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

    __slots__ = ("_broken", "_limit", "_pending")

    def __init__(self, limit: int) -> None:
        self._limit = limit
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
        self._pending += data
        try:
            return self._cut()
        except BoundaryRefused:
            self._broken = True
            self.wipe()
            raise

    def _cut(self) -> list[bytes]:
        payloads: list[bytes] = []
        start = 0
        while len(self._pending) - start >= PREFIX_BYTES:
            (length,) = _PREFIX.unpack_from(self._pending, start)
            _check(length, self._limit)
            end = start + PREFIX_BYTES + length
            if end > len(self._pending):
                break
            payloads.append(bytes(self._pending[start + PREFIX_BYTES : end]))
            start = end
        del self._pending[:start]
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
