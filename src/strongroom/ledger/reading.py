"""Reading records back from a verified log, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from strongroom.ledger import entries
from strongroom.ledger.entries import Recorded
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.tree import TILE_WIDTH


def raw_records(
    folder: LogFolder, published: int, unpublished: Sequence[bytes], start: int = 0
) -> Iterator[bytes]:
    """The bytes of the records from index ``start`` on.

    Args:
        folder: the log.
        published: size of its published checkpoint.
        unpublished: records from the start of the bundle in which the published ones end.
        start: index of the first one wanted.
    """
    whole = published // TILE_WIDTH
    for number in range(start // TILE_WIDTH, whole):
        bundle = folder.bundle(number, TILE_WIDTH)
        yield from bundle[max(0, start - number * TILE_WIDTH) :]
    yield from unpublished[max(0, start - whole * TILE_WIDTH) :]


def records(
    folder: LogFolder, published: int, unpublished: Sequence[bytes], start: int = 0
) -> Iterator[Recorded]:
    """The same, decoded; ``ledger.unknown_entry`` at one that this program does not know."""
    return map(entries.decode, raw_records(folder, published, unpublished, start))
