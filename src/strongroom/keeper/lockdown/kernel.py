"""Speaking to the kernel: libc by ctypes, and system calls by number.

Numbers come from the kernel's ``arch/x86/entry/syscalls/syscall_64.tbl`` (installed as
``asm/unistd_64.h``) and ``include/uapi/asm-generic/unistd.h`` (aarch64). From 424 on both agree.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Final

from strongroom.keeper.lockdown.numbers import NUMBERS

MACHINE: Final = platform.machine()
_COLUMN: Final = {"x86_64": 0, "aarch64": 1}.get(MACHINE)
_SUPPORTED: Final = _COLUMN is not None and sys.platform == "linux" and sys.maxsize > 2**32

# use_errno: ctypes keeps errno apart from what the interpreter does between the call and our look.
libc: Final = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.prctl.restype = ctypes.c_int

# Arguments are words: a Python int given to a variadic function would be cut to 32 bits.
Word = ctypes.c_ulong


class Unavailable(Exception):
    """A wall cannot be raised here; the text says why."""


def number(name: str) -> int | None:
    """The number of system call ``name`` here; None where the architecture has no such call.

    Raises:
        Unavailable: no table for this architecture.
    """
    if not _SUPPORTED or _COLUMN is None:
        raise Unavailable(f"no system call table for {MACHINE or 'this machine'}")
    return NUMBERS[name][_COLUMN]


def call(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call and return its result.

    Raises:
        OSError: the kernel refused.
        Unavailable: this architecture has no such call.
    """
    place = number(name)
    if place is None:
        raise Unavailable(f"{MACHINE} has no {name}")
    words = [Word(a) if isinstance(a, int) else a for a in arguments]
    return _checked(name, int(libc.syscall(ctypes.c_long(place), *words)))


def prctl(option: int, *arguments: int) -> int:
    """prctl(2), unused arguments zero.

    Raises:
        OSError: the kernel refused, or does not know the option.
    """
    words = [Word(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked("prctl", int(libc.prctl(option, *words)))


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
