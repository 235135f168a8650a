"""Gives up every capability, so that "another process of the same user" is an honest attacker.

Whoever runs the demonstration as root has ``CAP_SYS_PTRACE`` and may read any process; no software
hides memory from that (LIMITATIONS.md). So what is served, and what attacks it, both run without a
single capability, as an ordinary user's processes do, whatever the user's number is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT = 1, 23, 24, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_SYS_PTRACE = 19
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

_libc = ctypes.CDLL(None, use_errno=True)


def drop_capabilities() -> None:
    """Empty the bounding, ambient, effective, permitted and inheritable sets of this process.

    Without the bounding set, root gains nothing back at ``execve``. Runs between fork and exec, so
    it must not import, log or take a lock.

    Raises:
        OSError: the kernel refused.
    """
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused without CAP_SETPCAP: fine
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    nothing = ctypes.create_string_buffer(bytes(24))
    if _libc.syscall(_SYS_CAPSET[os.uname().machine], header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def as_ordinary_child() -> None:
    """For ``preexec_fn``: no capabilities, and an end when the demonstration ends."""
    drop_capabilities()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def may_read_any_process() -> bool:
    """Whether this process has ``CAP_SYS_PTRACE``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_PTRACE & 1)
    return False


def ptrace_scope() -> int:
    """Yama's setting: 0 same user, 1 descendants only, 2 privileged only, 3 nobody."""
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except OSError:
        return 0


def open_to_all_tracers() -> None:
    """Allow any process of the same user to trace this one, under Yama too (for controls)."""
    pr_set_ptracer, anybody = 0x59616D61, ctypes.c_ulong(-1)
    _libc.prctl(pr_set_ptracer, anybody, 0, 0, 0)


if sys.platform != "linux":  # pragma: no cover
    raise ImportError("the demonstration needs Linux")
