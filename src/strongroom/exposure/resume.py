"""Results as they come: one JSON line a finished cell, so that an audit can go on where it stopped.

The file's name is a digest of everything that the cells depend on. A line that is torn or does not
parse ends what is taken over; it and what follows are measured again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from strongroom.exposure.cell import Cell


class Journal:
    """Finished cells of one audit.

    Args:
        folder: where journals lie; made if need be.
        depends_on: model, data, budget, seed, versions: another value is another audit.
    """

    def __init__(self, folder: Path, depends_on: Mapping[str, str]) -> None:
        said = msgspec.json.encode(dict(depends_on), order="sorted")
        self._path = folder / f"{hashlib.sha256(said).hexdigest()[:32]}.jsonl"

    def finished(self) -> dict[tuple[str, str, str], Cell]:
        """Cells that need not be measured again."""
        found: dict[tuple[str, str, str], Cell] = {}
        try:
            lines = self._path.read_bytes().split(b"\n")
        except OSError:
            return found
        kept = 0
        for line in lines[:-1]:
            try:
                cell = msgspec.json.decode(line, type=Cell)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                break
            found[cell.key] = cell
            kept += len(line) + 1
        os.truncate(self._path, kept)
        return found

    def keep(self, cell: Cell) -> None:
        """Append ``cell``, durably."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(cell) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        """The audit is done: its results stand elsewhere."""
        self._path.unlink(missing_ok=True)
