"""Open the bodies of a sealed model: sizes and headers checked, hash list loaded.

The steps that ``verify`` and ``open_sealed`` share (spec section 6), all without a key:

1. Every entry of the folder is a regular file, and none is a plain weight file (``folder``).
2. The manifest's signatures, form and consistency (``manifest.manifest_of``).
3. The model has not expired and does not go back in its history (``trust``).
4. The folder holds exactly the files that the manifest names.
5. Every part has exactly the signed length and begins with the signed FLOE header.
6. The list of segment hashes has its exact length and hashes to the signed root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blake3 import blake3

from strongroom.artifact import names
from strongroom.artifact.floe import HEADER_BYTES
from strongroom.artifact.folder import SealedFolder, read_into
from strongroom.artifact.manifest import Manifest, PlacedPart, manifest_of
from strongroom.artifact.reasons import refuse
from strongroom.artifact.trust import ReleaseState, Trust, require_unexpired

HASH_BYTES = 32
SEGMENTS_IN_A_RUN = 8


@dataclass(frozen=True, slots=True)
class Body:
    """One part, open: where it belongs, its descriptor, and the hashes of its segments."""

    placed: PlacedPart
    fd: int
    hashes: memoryview
    all_hashes: bytes

    def require_hash(self, number: int, segment: memoryview) -> None:
        """The segment is the signed one, or ``artifact.segment_altered`` / ``segment_moved``."""
        digest = blake3(segment).digest()
        start = number * HASH_BYTES
        if self.hashes[start : start + HASH_BYTES] == digest:
            return
        known = {
            self.all_hashes[i : i + HASH_BYTES] for i in range(0, len(self.all_hashes), HASH_BYTES)
        }
        code = "artifact.segment_moved" if digest in known else "artifact.segment_altered"
        raise refuse(code, number=number, name=self.placed.part.name)

    def read_segment(self, number: int, scratch: memoryview) -> memoryview:
        """Segment ``number``'s bytes, copied into ``scratch`` (private memory, never a mapping).

        The copy is what is hashed and what is decrypted, so nobody can change it in between.
        """
        offset, length = self.placed.geometry.file_span(number)
        segment = scratch[:length]
        if read_into(self.fd, segment, offset, self.placed.part.name) != length:
            raise refuse("artifact.changed_while_reading", name=self.placed.part.name)
        return segment


@dataclass(frozen=True, slots=True)
class Bodies:
    """A manifest and its parts: the index, the files, and the weights in order."""

    manifest: Manifest
    index: Body
    files: Body
    weights: tuple[Body, ...]

    @property
    def all(self) -> tuple[Body, ...]:
        """Every part, in the manifest's order."""
        return (self.index, self.files, *self.weights)


@contextmanager
def open_bodies(
    folder: Path, trust: Trust, state: ReleaseState | None, now: datetime | None
) -> Iterator[Bodies]:
    """Steps 1 to 6; descriptors are closed at the end of the block."""
    with ExitStack() as stack:
        sealed = stack.enter_context(SealedFolder(folder))  # (1)
        manifest = manifest_of(sealed, trust)  # (2)
        require_unexpired(manifest, now)  # (3)
        if state is not None:
            state.check(manifest)
        sealed.require_only({*names.DOCUMENTS, *(p.name for p in manifest.parts)})  # (4)
        opened = [(placed, _open_part(sealed, placed, stack)) for placed in manifest.placed_parts()]
        hashes = _hash_list(sealed, manifest)
        bodies = [_body(placed, fd, hashes) for placed, fd in opened]
        yield Bodies(manifest, bodies[0], bodies[1], tuple(bodies[2:]))


def _open_part(sealed: SealedFolder, placed: PlacedPart, stack: ExitStack) -> int:
    part = placed.part
    fd = sealed.open_exactly(part.name, part.length)  # (5)
    stack.callback(os.close, fd)
    header = bytearray(HEADER_BYTES)
    read_into(fd, memoryview(header), 0, part.name)
    if header.hex() != part.header:
        raise refuse("artifact.part_replaced", name=part.name)
    return fd


def _hash_list(sealed: SealedFolder, manifest: Manifest) -> bytes:
    expected = manifest.hash_list.segments * HASH_BYTES
    os.close(sealed.open_exactly(names.HASH_LIST, expected))  # (6)
    raw = sealed.read(names.HASH_LIST, expected)
    if len(raw) != expected or blake3(raw).hexdigest() != manifest.hash_list.root:
        raise refuse("artifact.hash_list_altered")
    return raw


def _body(placed: PlacedPart, fd: int, hashes: bytes) -> Body:
    start = placed.first_hash * HASH_BYTES
    end = start + placed.part.segments * HASH_BYTES
    return Body(placed, fd, memoryview(hashes)[start:end], hashes)


def runs(bodies: tuple[Body, ...]) -> Iterator[tuple[int, range]]:
    """Pieces of work: (position of the body, a few segments of it in a row)."""
    for position, body in enumerate(bodies):
        count = body.placed.part.segments
        for first in range(0, count, SEGMENTS_IN_A_RUN):
            yield position, range(first, min(first + SEGMENTS_IN_A_RUN, count))
