"""A growing Merkle tree: its root at any moment, and its tiles as they fill.

Kept are the roots of the complete subtrees (at most 64) and, a tile level, the hashes of the tile
that is not full yet: the memory needed does not grow with the log. One leaf costs about two hashes.
"""

from __future__ import annotations

from typing import NamedTuple

from strongroom.ledger.merkle import EMPTY_ROOT, node_hash

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT


class Tile(NamedTuple):
    """Hashes ``number * 256`` and on of a tile level; a width below 256 makes it partial."""

    level: int
    number: int
    width: int
    content: bytes


class Tree:
    """An append-only tree. ``size`` is the number of leaves."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        self._levels: list[list[bytes]] = []
        self._full: list[Tile] = []

    def push(self, leaf: bytes) -> None:
        """Append the leaf with this hash."""
        found, level, left = leaf, 0, self.size
        self.size += 1
        self._place(0, found)
        while left & 1:
            found = node_hash(self._peaks.pop(), found)
            left >>= 1
            level += 1
            if level % TILE_HEIGHT == 0:
                self._place(level // TILE_HEIGHT, found)
        self._peaks.append(found)

    def root(self) -> bytes:
        """The RFC 6962 root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found

    def take_full(self) -> list[Tile]:
        """The tiles that became full since this was last asked."""
        full, self._full = self._full, []
        return full

    def partial(self) -> list[Tile]:
        """The tiles that are neither full nor empty, at most one a level."""
        return [
            Tile(level, self.size >> TILE_HEIGHT * (level + 1), len(hashes), b"".join(hashes))
            for level, hashes in enumerate(self._levels)
            if hashes
        ]

    def _place(self, level: int, found: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
        hashes = self._levels[level]
        hashes.append(found)
        if len(hashes) == TILE_WIDTH:
            number = (self.size >> TILE_HEIGHT * (level + 1)) - 1
            self._full.append(Tile(level, number, TILE_WIDTH, b"".join(hashes)))
            hashes.clear()
