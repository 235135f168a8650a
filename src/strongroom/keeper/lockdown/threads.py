"""Reaching threads that exist already: Landlock and capabilities bind only the calling thread.

torch, its thread pools and BLAS start workers that sleep in C code. As glibc does for ``setuid``,
each is sent a signal whose handler takes the measure there. Which threads answered is counted: one
that blocks the signal, or belongs to Python (whose interpreter it could be inside of), is never
taken for covered.

1. Take the measure in the calling thread.
2. Install the handler for a real-time signal that nobody uses.
3. Send it to every older thread that Python did not start, one after the other, and wait.
4. Ignore the signal from then on: one that comes late must not end the process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.keeper.lockdown.kernel import Unavailable, call, libc

PATIENCE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.0002
_SIGNAL: Final = signal.SIGRTMAX - 3
_IGNORE: Final = ctypes.c_void_p(1)  # SIG_IGN: include/uapi/asm-generic/signal-defs.h
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


class Threads:
    """The threads of this process at one moment; taken before ``/proc`` becomes unreadable."""

    def __init__(self) -> None:
        older = {int(name) for name in os.listdir("/proc/self/task")}  # noqa: PTH208
        older.remove(threading.get_native_id())
        ours = {thread.native_id for thread in threading.enumerate()}
        self._workers = sorted(older - ours)
        self._of_python = len(older & ours)

    def everywhere(self, measure: Callable[[], object]) -> None:
        """Take ``measure`` in each of these threads.

        Raises:
            OSError: the kernel refused ``measure`` in some thread.
            Unavailable: some thread could not be reached; the others have taken it.
        """
        measure()  # (1)
        answers: dict[int, OSError | None] = {}

        def handle(_number: int) -> None:
            thread = threading.get_native_id()
            try:
                measure()
                answers[thread] = None
            except OSError as error:  # nothing may unwind into the C code that was interrupted
                answers[thread] = error

        if self._workers:
            with _handling(handle):  # (2) and (4)
                for thread in self._workers:  # (3)
                    _signal_and_wait(thread, answers)
        self._judge(answers)

    def _judge(self, answers: dict[int, OSError | None]) -> None:
        for error in answers.values():
            if error is not None:
                raise error
        left = len(self._workers) - len(answers) + self._of_python
        if left:
            raise Unavailable(f"it stands only in part: {left} older threads were not reached")


@contextmanager
def _handling(handle: Callable[[int], None]) -> Iterator[None]:
    handler = _Handler(handle)
    _kept.append(handler)  # a signal that comes late still finds its code
    libc.signal(_SIGNAL, handler)
    try:
        yield
    finally:
        libc.signal(_SIGNAL, _IGNORE)


def _signal_and_wait(thread: int, answers: dict[int, OSError | None]) -> None:
    try:
        call("tgkill", os.getpid(), thread, _SIGNAL)
    except ProcessLookupError:  # it has ended meanwhile
        answers[thread] = None
        return
    end = time.monotonic() + PATIENCE_SECONDS
    while thread not in answers and time.monotonic() < end:
        time.sleep(_PAUSE_SECONDS)  # lets the handler have the interpreter


_kept: Final[list[object]] = []
