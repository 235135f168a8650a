"""The one writer of a log.

1. ``append`` and ``write`` encode the entry, give it its place and put it into a queue.
2. The writer's thread takes all that is queued, signs the checkpoint over the log with it, appends
   both to the journal as one batch and brings that to the disk: one fsync for all.
3. Then it notes the checkpoint as seen, and tells the callers.
4. Every ``publish_seconds`` another thread writes tiles and the checkpoint (``publisher``).
5. If anything cannot be written, the callers are refused and so is everybody after them: a log that
   may have lost something records nothing more until it has been opened, and so verified, again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
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

MAX_BATCH = 4096
"""Entries that one fsync covers at most."""

_BUSY_SECONDS = 0.05


@dataclass(slots=True)
class _Waiting:
    """A caller, and the event loop to tell it in (None: it waits in its own thread)."""

    index: int
    raw: bytes
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
        self._next = verified.newest.size
        self._queue: deque[_Waiting] = deque()
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

    async def append(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._enqueue(entry, loop, future)
        return await future

    def write(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        future: Future[int] = Future()
        self._enqueue(entry, None, future)
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

    def _enqueue(
        self,
        entry: AnyEntry,
        loop: asyncio.AbstractEventLoop | None,
        future: asyncio.Future[int] | Future[int],
    ) -> None:
        with self._changed:  # (1)
            if self._failure:
                raise self._failure
            if self._closing:
                raise refuse("ledger.closed", where=self._folder)
            raw = entries.encode(Recorded(self._next, int(time.time() * 1000), entry))
            self._queue.append(_Waiting(self._next, raw, loop, future))
            self._next += 1
            if len(self._queue) == 1:
                self._changed.notify()

    def _run(self) -> None:
        """The writer's thread: steps 2 to 4 until ``close``, and then what is left."""
        batch: list[_Waiting] = []
        due: float | None = None
        try:
            while not self._failure:
                batch, last = self._take(due)
                if batch:
                    self._commit(batch)
                    due = due or time.monotonic() + self._publish_seconds
                if last:
                    self._publish_rest()
                    return
                if due and time.monotonic() >= due:
                    due = None if self._publish_beside() else time.monotonic() + _BUSY_SECONDS
        except Exception as error:
            self._fail(error, batch)

    def _take(self, due: float | None) -> tuple[list[_Waiting], bool]:
        """What is queued, and whether that is the end; returns with nothing when it is ``due``."""
        with self._changed:
            while not (self._queue or self._closing or self._failure):
                left = None if due is None else due - time.monotonic()
                if left is not None and left <= 0:
                    return [], False
                self._changed.wait(left)
            count = min(len(self._queue), MAX_BATCH)
            return [self._queue.popleft() for _ in range(count)], self._closing and not count

    def _commit(self, batch: list[_Waiting]) -> None:
        """Steps 2 and 3."""
        raws = [waiting.raw for waiting in batch]
        start = self._tree.size
        for raw in raws:
            self._tree.push(leaf_hash(raw))
        checkpoint = Checkpoint(self._origin, self._tree.size, self._tree.root())
        signed = self._key.sign(checkpoint)
        self._segments.append(start, raws, signed)
        self._seen.put(signed)
        self._signed = signed
        self._durable = checkpoint.size
        self._kept += raws
        _tell(batch, None)

    def _publication(self) -> Publication:
        """All that is not published yet; the caller publishes it."""
        first_bundle = self._published // TILE_WIDTH
        entries = self._kept
        self._kept = entries[(self._durable // TILE_WIDTH - first_bundle) * TILE_WIDTH :]
        self._published = self._durable
        found = [*self._tree.take_full(), *self._tree.partial()]
        return Publication(self._signed, self._durable, found, first_bundle, entries)

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
            self._fail(error, [])

    def _fail(self, error: Exception, batch: list[_Waiting]) -> None:
        """Step 5."""
        problem = error.strerror if isinstance(error, OSError) else type(error).__name__
        with self._changed:
            failure = refuse("ledger.write_failed", where=self._folder, problem=problem)
            self._failure = self._failure or failure
            waiting = [*batch, *self._queue]
            self._queue.clear()
            self._changed.notify()
        _tell(waiting, self._failure)


def _tell(batch: list[_Waiting], failure: StrongroomError | None) -> None:
    """Step 3: one wake-up for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            _settle([waiting], failure)
        else:
            loops.setdefault(waiting.loop, []).append(waiting)
    for loop, theirs in loops.items():
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
