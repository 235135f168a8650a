"""Write one part of a sealed model: fill a segment with plaintext, encrypt, hash, write.

Segments are independent of one another, so several threads work on one part; each needs two
segment-sized buffers, and that is all the memory a part takes, however long it is.
"""

from __future__ import annotations

import bisect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from strongroom.artifact import parallel
from strongroom.artifact.floe import Floe
from strongroom.artifact.folder import read_into
from strongroom.artifact.geometry import Geometry
from strongroom.artifact.reasons import refuse, shown


class Plaintext(ABC):
    """Where a part's plaintext comes from."""

    size: int

    @abstractmethod
    def fill(self, offset: int, out: memoryview) -> None:
        """Put the plaintext from ``offset`` on into all of ``out``."""


class InMemory(Plaintext):
    """A small plaintext that exists already."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def fill(self, offset: int, out: memoryview) -> None:
        """A copy."""
        out[:] = self._content[offset : offset + len(out)]


@dataclass(frozen=True, slots=True)
class Extent:
    """``length`` bytes of a file that belong at ``target`` in the plaintext."""

    target: int
    origin: int
    length: int


class FromFile(Plaintext):
    """A plaintext gathered from extents of a file; what no extent covers is zero."""

    def __init__(self, fd: int, name: str, extents: list[Extent], size: int) -> None:
        self._fd = fd
        self._name = name
        self._extents = extents
        self._ends = [extent.target + extent.length for extent in extents]
        self.size = size

    def fill(self, offset: int, out: memoryview) -> None:
        """Read the extents that meet this span; ``artifact.changed_while_reading`` if too short."""
        end = offset + len(out)
        at = offset
        for extent in self._extents[bisect.bisect_right(self._ends, offset) :]:
            if extent.target >= end:
                break
            start = max(extent.target, offset)
            stop = min(extent.target + extent.length, end)
            out[at - offset : start - offset] = bytes(start - at)
            piece = out[start - offset : stop - offset]
            origin = extent.origin + start - extent.target
            if read_into(self._fd, piece, origin, self._name) != len(piece):
                raise refuse("artifact.changed_while_reading", name=shown(self._name))
            at = stop
        out[at - offset :] = bytes(end - at)


def write_body(
    fd: int, header: bytes, floe: Floe, plaintext: Plaintext, threads: int, meter: parallel.Meter
) -> bytes:
    """Write header and segments to ``fd`` and onto the disk; returns the segments' hashes."""
    geometry = Geometry.for_plaintext(plaintext.size, floe.parameters)
    hashes = bytearray(32 * geometry.segments)
    _write(fd, memoryview(header), 0)

    def make_worker() -> Callable[[int], None]:
        plain = memoryview(bytearray(floe.parameters.plaintext_bytes))
        sealed = memoryview(bytearray(floe.parameters.segment_bytes))

        def work(number: int) -> None:
            at, size = geometry.plain_span(number)
            plaintext.fill(at, plain[:size])
            length = floe.encrypt_segment(number, geometry.is_final(number), plain[:size], sealed)
            hashes[32 * number : 32 * number + 32] = blake3(sealed[:length]).digest()
            _write(fd, sealed[:length], geometry.file_span(number)[0])
            meter.add(length)

        return work

    parallel.run(range(geometry.segments), make_worker, threads)
    os.fsync(fd)
    return bytes(hashes)


def _write(fd: int, content: memoryview, offset: int) -> None:
    done = 0
    while done < len(content):
        done += os.pwrite(fd, content[done:], offset + done)
