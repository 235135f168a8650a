"""Code run in a child of its own, because walls cannot be taken down again."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

from strongroom.keeper.lockdown import capabilities
from strongroom.keeper.lockdown.threads import Threads

NATIVE_WORKER = """
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
semaphore = ctypes.create_string_buffer(64)
libc.sem_init(semaphore, 0, 0)
def start_native_worker():
    "A thread that Python does not know, asleep in C as torch's workers are."
    before = set(os.listdir("/proc/self/task"))
    libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.sem_wait, semaphore)
    while set(os.listdir("/proc/self/task")) == before:
        time.sleep(0.001)
"""

SIGSYS = -signal.SIGSYS


def run_child(
    code: str, *arguments: str, ordinary: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``code``; ``ordinary`` gives up every capability first."""
    return subprocess.run(
        [sys.executable, "-c", NATIVE_WORKER + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=drop_capabilities if ordinary else None,
    )


def drop_capabilities() -> None:
    capabilities.drop_all(Threads())
