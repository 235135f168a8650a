"""That a log was begun, kept beside the key that signs it: where log and ``log.seen`` are gone
together, as with the whole folder ``state``, a log must not begin anew as if there had been none.

One file for each log, with its newest checkpoint when it was last opened for writing.
"""

from __future__ import annotations

import os
from pathlib import Path

from strongroom.errors import StrongroomError
from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.files import make_folders, write_durably
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.reasons import refuse

_MAX_BYTES = 4096


class Begun:
    """The note about the log ``name`` in the folder ``state``."""

    def __init__(self, key: LogKey, state: Path, name: str) -> None:
        folder = key.path.with_suffix(".begun")
        where = os.path.relpath(state / name, key.path.parent)  # a home can be moved as a whole
        self.path = folder / where.replace(os.sep, "%")
        self._top = key.path.parent
        self._verifier = key.verifier(name)

    @staticmethod
    def names(key: LogKey, state: Path) -> list[str]:
        """Names of the logs that were begun in ``state``."""
        first = os.path.relpath(state, key.path.parent).replace(os.sep, "%") + "%"
        found = key.path.with_suffix(".begun").glob(f"{first}*")
        return sorted(path.name.removeprefix(first) for path in found)

    def read(self) -> Checkpoint | None:
        """What it says; None where no log was begun.

        Raises:
            LedgerRefused: ``ledger.begun_damaged``.
        """
        try:
            with self.path.open("rb") as file:
                raw = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError:
            raise refuse("ledger.begun_damaged", where=self.path) from None
        try:
            return parse_signed(raw, self._verifier, "what was begun")
        except StrongroomError:
            raise refuse("ledger.begun_damaged", where=self.path) from None

    def write(self, signed: bytes) -> None:
        """Note that the log is there, and its newest signed checkpoint."""
        make_folders(self._top, self.path.parent)
        write_durably(self.path, signed)
