"""What happens in a child between fork and exec, and the environment it gets.

1. Die with the supervisor: the kernel sends SIGTERM when the thread that forked is gone.
2. If the supervisor died before that was arranged, do not start at all.

The environment is made anew: nothing of the caller's shell reaches a process that holds keys or
weights, but what its work needs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
INTERPRETER = (sys.executable, "-I", "-X", "utf8")
"""Isolated: no PYTHON* variables, no current folder, no user's site-packages."""


def tied_to_parent() -> Callable[[], None]:
    """For ``preexec_fn``: steps 1 and 2. It must not import, log or take a lock."""
    parent = os.getpid()

    def tie() -> None:
        failed = _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0  # (1)
        if failed or os.getppid() != parent:  # (2)
            os._exit(1)

    return tie


def environment(threads: int, *, keep: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The whole environment of a child.

    Args:
        threads: how many the numeric libraries may use.
        keep: prefixes of names to hand on: ``AWS_`` to a key release that asks AWS KMS.
    """
    made = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }
    if keep:
        made |= {name: value for name, value in os.environ.items() if name.startswith(keep)}
        made["HOME"] = os.environ.get("HOME", "/nonexistent")
    return made
