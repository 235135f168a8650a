"""Is this log whole? Needs the folder and the verifier key, and no process that wrote it.

1. The published checkpoint is signed by the key, and so is every note in the journal.
2. The journal's batches follow one another without a gap, from the published size or before it.
3. All records are hashed. The root over the published ones is the checkpoint's; else the records
   were tampered with, and ``diagnosis`` says how.
4. Every hash tile holds what the records hash to.
5. The journal's copies of published records are those records, and its roots are the log's.
6. Each checkpoint seen before is one of this history: not larger than it, and of the same root.

The journal is read before the checkpoint, so that a log can be verified while it is written: what
the journal lost in between, the checkpoint covers. What was there when it began is verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from strongroom.errors import StrongroomError
from strongroom.ledger import diagnosis, journal, tiles
from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.journal import Batch
from strongroom.ledger.merkle import HASH_BYTES, leaf_hash
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.reasons import refuse
from strongroom.ledger.tree import TILE_WIDTH, Tile, Tree


@dataclass
class Journal:
    """The journal as it was read: whole batches, and where to go on writing."""

    batches: list[Batch] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    whole_bytes: int = 0
    """Length of the newest segment without what a crash left short."""


@dataclass
class Verified:
    """A whole log: its published checkpoint, its newest one, and what a writer goes on from.

    ``tree`` stands at the newest size and has yet to give out the tiles that filled after the
    published one. ``unpublished`` are the records from the start of the bundle in which the
    published ones end.
    """

    published: Checkpoint
    newest: Checkpoint
    newest_signed: bytes
    tree: Tree
    unpublished: list[bytes]
    journal: Journal


def verify(folder: LogFolder, key: VerifierKey, known: Sequence[Checkpoint] = ()) -> Verified:
    """Verify a whole log.

    Args:
        folder: the log.
        key: its verifier key, or the key of its home.
        known: checkpoints seen before, whose signatures the caller has verified.

    Raises:
        LedgerRefused: ``ledger.altered``, ``dropped``, ``inserted``, ``reordered``, ``truncated``,
            ``forked``, ``tile_altered``, ``file_missing``, ``malformed``, ``checkpoint_malformed``,
            ``checkpoint_invalid`` or ``other_log``.
        ConfigurationRefused: ``ledger.no_log``.
    """
    segments = folder.segments()
    signed = folder.checkpoint()
    published = parse_signed(signed, key, folder)  # (1)
    read = _read_journal(segments, published, key.renamed(published.origin), folder)  # (2)
    wanted = {published.size, *(c.size for c in known), *(b.checkpoint.size for b in read.batches)}
    copies_from = read.batches[0].start if read.batches else published.size
    replay = _Replay(folder, published, wanted, copies_from)
    replay.published_records()  # (3) (4)
    _compare_copies(read.batches, replay, folder)  # (5)
    newest, newest_signed = published, signed
    for batch in read.batches:
        if batch.checkpoint.size > published.size:
            replay.push(batch.entries[max(0, published.size - batch.start) :])
            newest, newest_signed = batch.checkpoint, batch.signed
        _compare_root(batch, published, replay, folder)
    for checkpoint in known:  # (6)
        _compare_known(checkpoint, newest, replay, folder)
    return Verified(published, newest, newest_signed, replay.tree, replay.kept, read)


class _Replay:
    """All records once more into a tree, with the roots at the sizes that are asked for."""

    def __init__(
        self, folder: LogFolder, published: Checkpoint, wanted: set[int], copies_from: int
    ) -> None:
        self.tree = Tree()
        self.roots: dict[int, bytes] = {0: self.tree.root()}
        self.kept: list[bytes] = []
        self.recent: dict[int, bytes] = {}
        self._folder = folder
        self._published = published
        self._wanted = wanted
        self._copies_from = copies_from

    def push(self, entries: Iterable[bytes]) -> None:
        for raw in entries:
            self.tree.push(leaf_hash(raw))
            self.kept.append(raw)
            if self.tree.size in self._wanted:
                self.roots[self.tree.size] = self.tree.root()

    def published_records(self) -> None:
        """Steps 3 and 4."""
        damaged: StrongroomError | None = None
        for number, width in tiles.bundles(self._published.size):
            entries = self._bundle(number, width)
            self.kept = []
            self.push(entries)
            self._remember(number * TILE_WIDTH, entries)
            damaged = damaged or self._compare_tiles(self.tree.take_full())
        if self._published.size % TILE_WIDTH == 0:
            self.kept = []
        if self.tree.root() != self._published.root:
            raise self._diagnose()
        damaged = damaged or self._compare_tiles(self.tree.partial())
        if damaged:
            raise damaged

    def _bundle(self, number: int, width: int) -> list[bytes]:
        try:
            entries = self._folder.bundle(number, width)
        except StrongroomError as error:
            if error.code == "ledger.file_missing":
                raise self._diagnose() from None
            raise
        if len(entries) != width:
            raise self._diagnose()
        return entries

    def _remember(self, first: int, entries: list[bytes]) -> None:
        """Keep what the journal may hold copies of."""
        if self._copies_from < first + len(entries):
            self.recent.update(enumerate(entries, first))

    def _compare_tiles(self, found: list[Tile]) -> StrongroomError | None:
        for tile in found:
            name = tiles.tile_path(tile.level, tile.number, tile.width)
            try:
                content = self._folder.tile(tile.level, tile.number, tile.width)
            except StrongroomError as error:
                return error
            if content != tile.content:
                return refuse("ledger.tile_altered", name=name, where=self._folder)
        return None

    def _diagnose(self) -> Exception:
        """Why the published records do not lead to the published root."""
        size = self._published.size
        entries: list[bytes] = []
        gap = ""
        for number, _ in tiles.bundles(size):
            bundle = self._folder.widest_bundle(number)
            if bundle is None:
                gap = gap or tiles.bundle_path(number)
            elif gap:
                return refuse("ledger.file_missing", where=self._folder, name=gap)
            else:
                entries += bundle
        leaves = self._signed_leaves()
        if leaves is not None:
            verdict = diagnosis.compare([leaf_hash(raw) for raw in entries], leaves)
        else:
            verdict = diagnosis.compare(diagnosis.claimed_places(entries), range(size))
        return diagnosis.refusal(verdict or ("ledger.altered", 0), self._folder, size)

    def _signed_leaves(self) -> list[bytes] | None:
        """The leaf hashes in the tiles, if they lead to the published root."""
        tree, leaves = Tree(), []
        for number, width in tiles.bundles(self._published.size):
            try:
                content = self._folder.tile(0, number, width)
            except StrongroomError:
                return None
            for at in range(0, len(content), HASH_BYTES):
                leaves.append(content[at : at + HASH_BYTES])
                tree.push(leaves[-1])
        return leaves if tree.root() == self._published.root else None


def _read_journal(
    segments: list[tuple[int, bytes]], published: Checkpoint, key: VerifierKey, folder: LogFolder
) -> Journal:
    """Step 2."""
    found = Journal(starts=[start for start, _ in segments])
    for place, (start, content) in enumerate(segments):
        last = place == len(segments) - 1
        batches, found.whole_bytes = journal.decode_segment(content, start, key, folder, last=last)
        found.batches += batches
    if not segments:
        return found
    reached = first = segments[0][0]
    gap = first > published.size
    for batch in found.batches:
        gap = gap or batch.start != reached or not batch.entries
        reached = batch.checkpoint.size
    if gap or found.starts[-1] > reached:
        places = diagnosis.claimed_places([raw for b in found.batches for raw in b.entries])
        low, end = min(first, published.size), max(reached, found.starts[-1])
        raise _journal_refusal(places, range(low, end), 0, folder)
    return found


def _compare_copies(batches: list[Batch], replay: _Replay, folder: LogFolder) -> None:
    """Step 5: a record that lies in a tile and in the journal is one record."""
    for batch in batches:
        for index, raw in enumerate(batch.entries, batch.start):
            if replay.recent.get(index, raw) != raw:
                raise _batch_refusal(batch, folder, index)
    replay.recent.clear()


def _compare_root(batch: Batch, published: Checkpoint, replay: _Replay, folder: LogFolder) -> None:
    if replay.roots[batch.checkpoint.size] == batch.checkpoint.root:
        return
    if batch.checkpoint.size <= published.size:  # whole records, and two signed roots for them
        raise refuse("ledger.forked", where=folder, seen=batch.checkpoint.size)
    raise _batch_refusal(batch, folder, batch.start)


def _batch_refusal(batch: Batch, folder: LogFolder, index: int) -> Exception:
    places = diagnosis.claimed_places(batch.entries)
    expected = range(batch.start, batch.checkpoint.size)
    return _journal_refusal(places, expected, index - batch.start, folder)


def _journal_refusal(
    places: list[int], expected: range, otherwise: int, folder: LogFolder
) -> Exception:
    """What was done to these records of the journal; altered where their places tell nothing."""
    code, place = diagnosis.compare(places, expected) or ("ledger.altered", otherwise)
    if code == "ledger.truncated":  # something stands behind the gap
        code = "ledger.dropped"
    return refuse(code, where=folder, index=expected.start + place)


def _compare_known(
    known: Checkpoint, newest: Checkpoint, replay: _Replay, folder: LogFolder
) -> None:
    """Step 6."""
    if known.origin != newest.origin:
        raise refuse("ledger.other_log", origin=ascii(newest.origin)[1:-1], expected=known.origin)
    if known.size > newest.size:
        raise refuse("ledger.truncated", where=folder, size=newest.size, seen=known.size)
    if replay.roots[known.size] != known.root:
        raise refuse("ledger.forked", where=folder, seen=known.size)
