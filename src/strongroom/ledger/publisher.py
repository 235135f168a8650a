"""Brings records, hash tiles and the checkpoint into the files that others read.

Order on the disk: records and tiles, then the names of them, then the checkpoint in one step. So
a checkpoint is never ahead of its tiles, whenever the power goes. Only afterwards partial tiles
that a full one replaces are deleted (c2sp.org/tlog-tiles keeps the others, for readers that hold an
older checkpoint), and segments of the journal whose records are in tiles by now.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

from strongroom.ledger import journal, tiles
from strongroom.ledger.files import make_folders, replace, sync_folders, write_durably
from strongroom.ledger.tree import TILE_WIDTH, Tile


@dataclass(frozen=True, slots=True)
class Publication:
    """A signed checkpoint and all that must be in files before it may be read.

    ``entries`` begin with the first one of bundle ``first_bundle``.
    """

    signed: bytes
    size: int
    tiles: list[Tile]
    first_bundle: int
    entries: list[bytes]


def publish(folder: Path, publication: Publication) -> None:
    """Write one publication into a log's folder; an ``OSError`` if that fails."""
    files = {
        tiles.tile_path(tile.level, tile.number, tile.width): tile.content
        for tile in publication.tiles
    }
    for at in range(0, len(publication.entries), TILE_WIDTH):
        bundle = publication.entries[at : at + TILE_WIDTH]
        number = publication.first_bundle + at // TILE_WIDTH
        files[tiles.bundle_path(number, len(bundle))] = tiles.encode_bundle(bundle)
    for name, content in files.items():
        path = folder / name
        make_folders(folder, path.parent)
        replace(path, content)
    sync_folders((folder / name).parent for name in files)
    write_durably(folder / tiles.CHECKPOINT, publication.signed)
    _drop_partials(folder, files)
    _drop_segments(folder / journal.FOLDER, publication.size)


def _drop_partials(folder: Path, names: dict[str, bytes]) -> None:
    for name in names:
        if ".p/" not in name:
            shutil.rmtree(folder / f"{name}.p", ignore_errors=True)


def _drop_segments(folder: Path, size: int) -> None:
    """A segment is done with when the next one begins at or before the published size."""
    for start, following in itertools.pairwise(journal.segment_starts(folder)):
        if following <= size:
            (folder / journal.segment_name(start)).unlink(missing_ok=True)
