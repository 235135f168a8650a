"""Names and contents of the files of a log, as c2sp.org/tlog-tiles has them. Pure.

``tile/<L>/<N>`` holds 256 hashes of level L, ``tile/entries/<N>`` the 256 entries below them, each
behind its length (uint16, big-endian). ``.p/<W>`` is added where only the first W exist yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from strongroom.ledger.merkle import HASH_BYTES, NodeAt, node_hash
from strongroom.ledger.tree import TILE_HEIGHT, TILE_WIDTH

CHECKPOINT = "checkpoint"
_NO_ENTRY_BYTES = 65536
ReadTile = Callable[[int, int, int], bytes]
"""(level, index, width) to that many hashes."""


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Where the tile lies, from the log's folder."""
    return f"tile/{level}/{_numbered(index, width)}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Where the bundle of entries lies."""
    return f"tile/entries/{_numbered(index, width)}"


def bundles(size: int) -> Iterable[tuple[int, int]]:
    """(index, width) of each bundle of a log of ``size`` entries."""
    for index in range(size // TILE_WIDTH):
        yield index, TILE_WIDTH
    if size % TILE_WIDTH:
        yield size // TILE_WIDTH, size % TILE_WIDTH


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries behind their lengths."""
    return b"".join(len(raw).to_bytes(2, "big") + raw for raw in entries)


def decode_bundle(content: bytes) -> list[bytes]:
    """The entries of a bundle.

    What follows the last whole entry is returned as one more, made longer than any entry can be: it
    hashes to nothing that was logged, and so is found by whoever compares hashes.
    """
    entries, at, end = [], 0, len(content)
    while at < end:
        start = at + 2
        stop = start + int.from_bytes(content[at:start], "big")
        if start > end or stop > end:
            entries.append(content[at:].ljust(_NO_ENTRY_BYTES, b"\0"))
            break
        entries.append(content[start:stop])
        at = stop
    return entries


def nodes(size: int, read: ReadTile) -> NodeAt:
    """How a node of a log of ``size`` entries is found in its tiles."""
    cached = lru_cache(maxsize=64)(read)

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        number, first = divmod(index << height, TILE_WIDTH)
        width = min(TILE_WIDTH, (size >> TILE_HEIGHT * tile_level) - number * TILE_WIDTH)
        content = cached(tile_level, number, width)
        hashes = [_hash_in(content, first + place) for place in range(1 << height)]
        while len(hashes) > 1:
            pairs = zip(hashes[::2], hashes[1::2], strict=True)
            hashes = [node_hash(left, right) for left, right in pairs]
        return hashes[0]

    return node


def _hash_in(content: bytes, place: int) -> bytes:
    return content[place * HASH_BYTES : (place + 1) * HASH_BYTES]


def _numbered(index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    name = "/".join(reversed(groups))
    return name if width == TILE_WIDTH else f"{name}.p/{width}"
