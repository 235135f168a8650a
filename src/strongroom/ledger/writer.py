"""The one writer of a log.

1. An entry is *written* once it is in the journal under a signed checkpoint and the kernel has it:
   no end of this process can lose it. It is *durable* once the disk has it too.
2. What one turn of an event loop brings is written as one batch at its end, in the loop.
3. A thread brings what is written to the disk: at once if somebody waits for that, else after
   ``HIDDEN_SECONDS``. One fsync does for all that was written before. Then it notes the checkpoint
   as seen, and tells the callers.
4. Every ``publish_seconds`` another thread writes tiles and the checkpoint (``publisher``).
5. If anything cannot be written, the callers are refused and so is everybody after them: a log that
   may have lost something records nothing more until it has been opened, and so verified, again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from strongroom.errors import StrongroomError
from strongroom.ledger import entries, reading
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.entries import AnyEntry, Recorded
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.merkle import leaf_hash
from strongroom.ledger.publisher import Publication, publish
from strongroom.ledger.reasons import refuse
from strongroom.ledger.seen import Seen
from strongroom.ledger.segments import Segments
from strongroom.ledger.tree import TILE_WIDTH
from strongroom.ledger.verify import Verified

HIDDEN_SECONDS = 0.002
"""How long what nobody waits for may stay written without being durable."""

_BUSY_SECONDS = 0.05


@dataclass(slots=True)
class _Waiting:
    """A caller, and the event loop to tell it in (None: it waits in its own thread)."""

    index: int
    loop: asyncio.AbstractEventLoop | None
    future: asyncio.Future[int] | Future[int]


class LogWriter:
    """An open log; see ``interface.Record``. Make one with ``opening.open_log``."""

    def __init__(
        self, folder: LogFolder, key: LogKey, seen: Seen, verified: Verified, publish_seconds: float
    ) -> None:
        self._folder = folder
        self._key = key
        self._seen = seen
        self._found = verified
        self._origin = verified.newest.origin
        self._tree = verified.tree
        self._signed = verified.newest_signed
        self._published = verified.published.size
        self._durable = verified.newest.size
        self._kept = list(verified.unpublished)
        self._segments = Segments(folder.path, verified)
        verified.journal.batches.clear()  # up to two segments of memory
        self._publish_seconds = publish_seconds
        self._written = verified.newest.size
        self._placed: list[bytes] = []
        self._turns: set[asyncio.AbstractEventLoop] = set()
        self._begun: list[_Waiting] = []
        self._waiting: list[_Waiting] = []
        self._hurried = False
        self._hurry_at = 0.0
        self._changed = threading.Condition()
        self._failure: StrongroomError | None = None
        self._closing = False
        self._publisher: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """How many entries are durable."""
        return self._durable

    def records(self, start: int = 0) -> Iterator[Recorded]:
        """The records that were there when the log was opened, from index ``start`` on."""
        found = self._found
        return reading.records(self._folder, found.published.size, found.unpublished, start)

    async def begin(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        return await self._in_turn(entry, self._begun)

    async def append(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        return await self._in_turn(entry, self._waiting)

    async def durable(self, index: int) -> None:
        """See ``Record``."""
        if index < self._durable:
            return
        loop = asyncio.get_running_loop()
        with self._changed:
            self._require()
            future: asyncio.Future[int] = loop.create_future()
            self._waiting.append(_Waiting(index, loop, future))
            self._hurried = True
            self._changed.notify()
        await future

    def write(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        future: Future[int] = Future()
        with self._changed:
            self._waiting.append(_Waiting(self._place(entry), None, future))
            self._hurried = True
            self._changed.notify()
        return future.result()

    def close(self) -> None:
        """Make everything durable, publish it, and give the log free. Nothing follows.

        Raises:
            EnvironmentLacks: ``ledger.write_failed``.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._publisher is not None:
            self._publisher.join()
        self._segments.close()
        self._seen.close()
        if self._failure:
            raise self._failure

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _require(self) -> None:
        if self._failure:
            raise self._failure
        if self._closing:
            raise refuse("ledger.closed", where=self._folder)

    def _place(self, entry: AnyEntry) -> int:
        """Give the entry its place, if it may have one."""
        self._require()
        index = self._written + len(self._placed)
        self._placed.append(entries.encode(Recorded(index, int(time.time() * 1000), entry)))
        return index

    def _in_turn(self, entry: AnyEntry, among: list[_Waiting]) -> asyncio.Future[int]:
        """Place the entry; what is placed is written when this turn of the loop is over."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        with self._changed:
            among.append(_Waiting(self._place(entry), loop, future))
            if loop not in self._turns:
                self._turns.add(loop)
                loop.call_soon(self._turn, loop)
        return future

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Step 2."""
        with self._changed:
            self._turns.discard(loop)
            try:
                self._write_placed()
            except Exception as error:
                self._fail(error)
                return
            begun = self._begun.copy()
            self._begun.clear()
            if self._waiting:
                self._changed.notify()
            elif (now := time.monotonic()) >= self._hurry_at:
                self._hurry_at = now + HIDDEN_SECONDS
                loop.call_later(HIDDEN_SECONDS, self._hurry)
        _tell(begun, None, loop)

    def _hurry(self) -> None:
        with self._changed:
            self._hurry_at = 0.0
            if self._durable < self._written:
                self._hurried = True
                self._changed.notify()

    def _write_placed(self) -> None:
        """Sign for what is placed, and give it to the kernel."""
        raws = self._placed
        if not raws or self._failure:
            return
        start = self._tree.size
        for raw in raws:
            self._tree.push(leaf_hash(raw))
        checkpoint = Checkpoint(self._origin, self._tree.size, self._tree.root())
        self._signed = self._key.sign(checkpoint)
        self._segments.write(start, raws, self._signed)
        self._kept += raws
        self._placed = []
        self._written = checkpoint.size

    def _run(self) -> None:
        """The writer's thread: steps 3 and 4 until ``close``, and then what is left."""
        due: float | None = None
        try:
            while not self._failure:
                last = self._wait(due)
                if self._sync():
                    due = due or time.monotonic() + self._publish_seconds
                if last:
                    self._publish_rest()
                    return
                if due and time.monotonic() >= due:
                    due = None if self._publish_beside() else time.monotonic() + _BUSY_SECONDS
        except Exception as error:
            self._fail(error)

    def _wait(self, due: float | None) -> bool:
        """Wait until there is something to do; whether it is the last."""
        with self._changed:
            while not (self._hurried or self._closing or self._failure):
                if self._waiting and self._waiting[0].index < self._written:
                    break
                left = None if due is None else due - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            self._hurried = False
            self._write_placed()  # what came from threads, and at the end
            return self._closing

    def _sync(self) -> bool:
        """Step 3; whether there was anything to bring to the disk."""
        with self._changed:
            size, signed = self._written, self._signed
        if size == self._durable:
            return False
        self._segments.sync()
        self._seen.put(signed)
        with self._changed:
            self._durable = size
            ready = [waiting for waiting in self._waiting if waiting.index < size]
            self._waiting[:] = [waiting for waiting in self._waiting if waiting.index >= size]
            begun = [waiting for waiting in self._begun if waiting.index < size]
            self._begun[:] = [waiting for waiting in self._begun if waiting.index >= size]
        _tell(ready + begun, None)
        return True

    def _publication(self) -> Publication:
        """All that is written and not published yet; the caller publishes it, and so syncs it."""
        with self._changed:
            first_bundle = self._published // TILE_WIDTH
            kept = self._kept
            self._kept = kept[(self._written // TILE_WIDTH - first_bundle) * TILE_WIDTH :]
            self._published = self._written
            found = [*self._tree.take_full(), *self._tree.partial()]
            return Publication(self._signed, self._written, found, first_bundle, kept)

    def _publish_beside(self) -> bool:
        """Step 4; whether the publisher was free."""
        if self._publisher is not None and self._publisher.is_alive():
            return False
        publication = self._publication()
        self._publisher = threading.Thread(
            target=self._publish, args=[publication], name="log publisher", daemon=True
        )
        self._publisher.start()
        return True

    def _publish_rest(self) -> None:
        if self._publisher is not None:
            self._publisher.join()
        if self._published < self._durable and not self._failure:
            self._publish(self._publication())

    def _publish(self, publication: Publication) -> None:
        try:
            publish(self._folder.path, publication)
            self._seen.sync()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Step 5."""
        problem = error.strerror if isinstance(error, OSError) else type(error).__name__
        with self._changed:
            failure = refuse("ledger.write_failed", where=self._folder, problem=problem)
            self._failure = self._failure or failure
            waiting = [*self._begun, *self._waiting]
            self._begun.clear()
            self._waiting.clear()
            self._changed.notify()
        _tell(waiting, self._failure)


def _tell(
    waiting: list[_Waiting],
    failure: StrongroomError | None,
    here: asyncio.AbstractEventLoop | None = None,
) -> None:
    """Tell callers, those of the loop that runs ``here`` at once: one wake-up for each other."""
    loops: dict[asyncio.AbstractEventLoop | None, list[_Waiting]] = {}
    for each in waiting:
        loops.setdefault(each.loop, []).append(each)
    for loop, theirs in loops.items():
        if loop is None or loop is here:
            _settle(theirs, failure)
            continue
        with suppress(RuntimeError):  # the loop has ended, and its callers with it
            loop.call_soon_threadsafe(_settle, theirs, failure)


def _settle(batch: list[_Waiting], failure: StrongroomError | None) -> None:
    for waiting in batch:
        if waiting.future.done():  # its caller was cancelled, or told before
            continue
        if failure is None:
            waiting.future.set_result(waiting.index)
        else:
            waiting.future.set_exception(failure)
