"""Reading a log's folder. Nothing is judged here but that a file is there and of bounded size."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from strongroom.ledger import journal, tiles
from strongroom.ledger.merkle import HASH_BYTES
from strongroom.ledger.note import MAX_NOTE_BYTES
from strongroom.ledger.reasons import refuse
from strongroom.ledger.tree import TILE_WIDTH

_MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + 65535)
_MAX_SEGMENT_BYTES = 2**28


class LogFolder:
    """One log on the disk, which another process may be writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def checkpoint(self) -> bytes:
        """The published checkpoint; ``ledger.no_log`` if there is none."""
        try:
            return self._read(tiles.CHECKPOINT, MAX_NOTE_BYTES)
        except FileNotFoundError:
            raise refuse("ledger.no_log", where=self) from None

    def tile(self, level: int, number: int, width: int) -> bytes:
        """``width`` hashes, from the partial tile or the full one; ``ledger.file_missing``.

        The partial one may be gone as soon as the full one is there (c2sp.org/tlog-tiles).
        """
        names = (
            tiles.tile_path(level, number, width),
            tiles.tile_path(level, number),
        )
        content = self._first(names, HASH_BYTES * TILE_WIDTH)
        return content[: width * HASH_BYTES] if len(content) > width * HASH_BYTES else content

    def bundle(self, number: int, width: int) -> list[bytes]:
        """The entries of a bundle; from the full one where the partial one is gone."""
        try:
            return tiles.decode_bundle(
                self._read(tiles.bundle_path(number, width), _MAX_BUNDLE_BYTES)
            )
        except FileNotFoundError:
            if width == TILE_WIDTH:
                raise self._missing(tiles.bundle_path(number)) from None
        return self.bundle(number, TILE_WIDTH)[:width]

    def widest_bundle(self, number: int) -> list[bytes] | None:
        """What there is of a bundle, whatever its width should be; None if there is nothing."""
        whole = tiles.bundle_path(number)
        partials = (self.path / f"{whole}.p").glob("*")
        widths = [int(path.name) for path in partials if path.name.isdecimal()]
        for width in [TILE_WIDTH, *sorted(widths, reverse=True)]:
            with suppress(FileNotFoundError):
                name = tiles.bundle_path(number, width)
                return tiles.decode_bundle(self._read(name, _MAX_BUNDLE_BYTES))
        return None

    def segments(self) -> list[tuple[int, bytes]]:
        """(index of the first entry, content) of the journal's segments, in order."""
        found = []
        folder = self.path / journal.FOLDER
        for start in journal.segment_starts(folder):
            name = f"{journal.FOLDER}/{journal.segment_name(start)}"
            with suppress(FileNotFoundError):  # its entries are in tiles by now
                found.append((start, self._read(name, _MAX_SEGMENT_BYTES)))
        return found

    def _first(self, names: tuple[str, ...], limit: int) -> bytes:
        for name in names:
            try:
                return self._read(name, limit)
            except FileNotFoundError:
                continue
        raise self._missing(names[0])

    def _read(self, name: str, limit: int) -> bytes:
        try:
            with open(self.path / name, "rb", opener=_opened) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise self._malformed(name, "it is not a regular file")
                content = file.read(limit + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._malformed(name, str(error.strerror)) from None
        if len(content) > limit:
            raise self._malformed(name, "it is too long")
        return content

    def _malformed(self, name: str, problem: str) -> Exception:
        return refuse("ledger.malformed", where=self, name=name, problem=problem)

    def _missing(self, name: str) -> Exception:
        return refuse("ledger.file_missing", where=self, name=name)


def _opened(path: str, flags: int) -> int:
    """Opens without waiting: a FIFO in a file's place must not hang us."""
    return os.open(path, flags | os.O_NONBLOCK)
