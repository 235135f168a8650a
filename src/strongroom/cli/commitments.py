"""Commitments in the operators' log: what was fixed there, where, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom.cli.home import Home
from strongroom.cli.identities import OPERATOR_LOG
from strongroom.errors import ConfigurationRefused
from strongroom.keys import private_file
from strongroom.ledger.entries import Committed
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records


@dataclass(frozen=True, slots=True)
class Fixed:
    """Where a commitment stands in the operators' log, and when it was appended (Unix ms)."""

    index: int
    at: int
    entry: Committed


def first(home: Home, kind: str, digest: str) -> Fixed | None:
    """The first commitment of that kind to that digest; None: there is none.

    Raises:
        LedgerRefused: the log is damaged.
    """
    return next((each for each in every(home, kind) if each.entry.digest == digest), None)


def every(home: Home, kind: str) -> Iterator[Fixed]:
    """All commitments of that kind, the first ones first. The log is verified first.

    Raises:
        LedgerRefused: the log is damaged.
    """
    try:
        folder, found = look(home.state, OPERATOR_LOG, verifier(home))
    except ConfigurationRefused as refusal:
        if refusal.code == "ledger.no_log":  # nothing was ever recorded
            return
        raise
    for recorded in records(folder, found.published.size, found.unpublished):
        entry = recorded.entry
        if isinstance(entry, Committed) and entry.kind == kind:
            yield Fixed(recorded.index, recorded.at, entry)


def verifier(home: Home) -> VerifierKey:
    """The key that this home's logs are signed for."""
    path = home.keys / "log.pub"
    return VerifierKey.parse(private_file.read_public(path).decode(errors="replace"), path)
