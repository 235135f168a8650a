"""Run the same work on a few threads, which is worth it because hashing, AES and reading release
the interpreter's lock. The first error stops all threads and is the one raised.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from strongroom.artifact.reasons import refuse

T = TypeVar("T")
Progress = Callable[[int, int], None]
MAX_THREADS = 64


def thread_count(asked: int | None) -> int:
    """Threads to use: as asked (1 to 64), or as many as this process may run on, at most 8."""
    if asked is None:
        return min(8, len(os.sched_getaffinity(0)))
    if not 1 <= asked <= MAX_THREADS:
        raise refuse("artifact.bad_argument", name="threads", problem="it is not within 1 to 64")
    return asked


def run(jobs: Iterable[T], make_worker: Callable[[], Callable[[T], None]], threads: int) -> None:
    """Give every job to one of ``threads`` workers, each made in its own thread."""
    crew = _Crew(iter(jobs), make_worker)
    others = [threading.Thread(target=crew.work, daemon=True) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    try:
        crew.work()
    finally:
        crew.stopped = True
        for thread in others:
            thread.join()
    if crew.error is not None:
        raise crew.error


class _Crew(Generic[T]):
    """What the threads share: the jobs left, and the first error."""

    def __init__(self, jobs: Iterator[T], make_worker: Callable[[], Callable[[T], None]]) -> None:
        self._jobs = jobs
        self._make_worker = make_worker
        self._lock = threading.Lock()
        self.stopped = False
        self.error: BaseException | None = None

    def work(self) -> None:
        """Take jobs until none is left, or somebody failed."""
        try:
            worker = self._make_worker()
            for job in iter(self._next, None):
                worker(job)
        except BaseException as error:
            with self._lock:
                self.error = self.error or error
            self.stopped = True

    def _next(self) -> T | None:
        with self._lock:
            return None if self.stopped else next(self._jobs, None)


class Meter:
    """Counts finished bytes over all threads and tells the caller, one thread at a time."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """``count`` more bytes are done."""
        if self._progress is not None:
            with self._lock:
                self._done += count
                self._progress(self._done, self._total)
