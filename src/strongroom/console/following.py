"""Follows one log while its writer goes on writing, and verifies what it reads.

1. The published checkpoint, and every note in the journal, is signed by the home's log key; the log
   is not shorter than what its writer noted to have seen.
2. Each record read is hashed into a tree that goes on from what was read before. Wherever a signed
   checkpoint stands, the tree's root must be the checkpoint's: so what was read was signed, and it
   continues what was read before. Else the log is shown as damaged, with what was done to it.
3. What was read once is not read again here; ``recheck`` verifies the whole log from its files, as
   ``strongroom log verify`` does.

A log that does not hold is not read on; that stays until the console is started anew.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.console.reading import Log
from strongroom.errors import StrongroomError
from strongroom.ledger import journal
from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.entries import Recorded, decode
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.journal import Batch
from strongroom.ledger.merkle import leaf_hash
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.opening import LOGS, SEEN, look
from strongroom.ledger.reasons import refuse
from strongroom.ledger.seen import read_seen
from strongroom.ledger.tree import TILE_WIDTH, Tree

MOST_AT_ONCE: Final = 200_000
"""Records read by one ``catch_up``: some seconds."""

Take = Callable[[Recorded], None]


class Follower:
    """One log.

    Args:
        state: the home's folder ``state``.
        name: the log's name.
        home: the verifier key of the home's logs.
    """

    def __init__(self, state: Path, name: str, home: VerifierKey) -> None:
        self.name = name
        self._state = state
        self._home = home
        self._key = home.renamed(f"{home.name}/{name}")
        self._folder = LogFolder(state / LOGS / name)
        self._tree = Tree()
        self._reached: Checkpoint | None = None
        self._behind = 0
        self._problem = ""
        self._checked: datetime | None = None
        self._newest: datetime | None = None

    def catch_up(self, take: Take) -> None:
        """Read what is new, at most ``MOST_AT_ONCE`` records, and hand over each."""
        if self._problem:
            return
        try:
            self._read(take)
        except StrongroomError as error:
            if error.code != "ledger.no_log":
                self._problem = error.message

    def recheck(self) -> None:
        """Verify all of it from its files (3). May take long, and may run beside ``catch_up``."""
        if self._reached is None or self._problem:
            return
        try:
            look(self._state, self.name, self._home)
        except StrongroomError as error:
            self._problem = error.message
        else:
            self._checked = datetime.now(UTC)

    def log(self) -> Log:
        """How it stands."""
        reached = self._reached
        size = self._tree.size
        if self._problem:
            return Log(self.name, "damaged", self._problem, size, newest=self._newest)
        if self._behind:
            sentence = f"Reading: {self._behind:,} entries are still to come."
            return Log(self.name, "reading", sentence, size, newest=self._newest)
        if reached is None:
            return Log(self.name, "empty", "It has no checkpoint yet.")
        root = base64.b64encode(reached.root).decode()
        sentence = f"All {size:,} entries hold under the signed checkpoint."
        return Log(self.name, "verified", sentence, size, root, self._checked, self._newest)

    def _read(self, take: Take) -> None:
        seen = read_seen(self._state / SEEN / self.name, self._key)
        segments = self._folder.segments()  # before the checkpoint: see ledger.verify
        published = self._checkpoint(seen)  # (1)
        batches = list(self._batches(segments))
        newest = max((published, *(batch.checkpoint for batch in batches)), key=lambda c: c.size)
        if seen is None:
            place = self._state / SEEN / self.name
            raise refuse("ledger.seen_missing", where=self._folder, seen=place)
        before = max(seen.size, self._tree.size)
        if newest.size < before:
            raise refuse("ledger.truncated", where=self._folder, size=newest.size, seen=before)
        room = MOST_AT_ONCE
        for raw in self._published(published.size):
            self._push(raw, take)
            room -= 1
            if not room:
                self._behind = newest.size - self._tree.size
                return
        self._compare(published)  # (2)
        for batch in batches:
            if batch.checkpoint.size > self._tree.size >= batch.start:
                for raw in batch.entries[self._tree.size - batch.start :]:
                    self._push(raw, take)
            self._compare(batch.checkpoint)
        self._behind = 0
        self._reached = newest
        self._checked = self._checked or datetime.now(UTC)

    def _checkpoint(self, seen: Checkpoint | None) -> Checkpoint:
        try:
            return parse_signed(self._folder.checkpoint(), self._key, self._folder)
        except StrongroomError as error:
            if error.code == "ledger.no_log" and seen is not None and seen.size:
                raise refuse("ledger.missing", where=self._folder) from None
            raise

    def _batches(self, segments: list[tuple[int, bytes]]) -> Iterator[Batch]:
        for place, (start, content) in enumerate(segments):
            last = place == len(segments) - 1
            yield from journal.decode_segment(content, start, self._key, self._folder, last=last)[0]

    def _published(self, size: int) -> Iterator[bytes]:
        """The published records from where the tree stands."""
        for number in range(self._tree.size // TILE_WIDTH, -(-size // TILE_WIDTH)):
            first = max(self._tree.size, number * TILE_WIDTH)
            width = min(TILE_WIDTH, size - number * TILE_WIDTH)
            yield from self._folder.bundle(number, width)[first - number * TILE_WIDTH :]

    def _push(self, raw: bytes, take: Take) -> None:
        self._tree.push(leaf_hash(raw))
        self._tree.take_full()
        try:
            recorded = decode(raw)
        except StrongroomError:
            return  # a later version's kind: it counts as an entry, and shows nowhere
        self._newest = datetime.fromtimestamp(recorded.at / 1000, UTC)
        take(recorded)

    def _compare(self, checkpoint: Checkpoint) -> None:
        if checkpoint.size != self._tree.size or checkpoint.root == self._tree.root():
            return
        look(self._state, self.name, self._home)  # says what was done to it
        raise refuse("ledger.forked", where=self._folder, seen=checkpoint.size)
