"""Checkpoints (c2sp.org/tlog-checkpoint): the log's name, size and root, as the text of a note."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from strongroom.ledger import note
from strongroom.ledger.merkle import HASH_BYTES
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.reasons import refuse

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``size`` entries of the log ``origin`` have the root ``root``; nothing says it is signed."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_signed(raw: bytes, key: VerifierKey, where: object) -> Checkpoint:
    """The checkpoint in a signed note.

    Args:
        raw: the note.
        key: the log's key, whose name is the log's origin; or a home's key, whose name is followed
            by ``/`` and the log's name in the origin.
        where: what to call it in a refusal.

    Raises:
        LedgerRefused: ``ledger.checkpoint_malformed``, ``ledger.checkpoint_invalid`` or
            ``ledger.other_log``.
    """
    claimed = parse_text(note.split(raw, where)[0], where)
    if claimed.origin != key.name and not claimed.origin.startswith(key.name + "/"):
        raise refuse("ledger.other_log", origin=ascii(claimed.origin)[1:-1], expected=key.name)
    note.verified_text(raw, key.renamed(claimed.origin), where)
    return claimed


def parse_text(text: str, where: object) -> Checkpoint:
    """Origin, size and root; extension lines are passed over."""
    lines = text.split("\n")
    try:
        origin, size, encoded = lines[:3]
        root = base64.b64decode(encoded, validate=True)
    except ValueError:
        origin, size, root = "", "", b""
    regular = _SIZE.fullmatch(size) and len(root) == HASH_BYTES
    if not origin or not regular or lines[-1] or "" in lines[:-1]:
        raise refuse(
            "ledger.checkpoint_malformed", where=where, problem="origin, size or root is not there"
        )
    return Checkpoint(origin, int(size), root)
