"""Wall ``capabilities``: a keeper started by root holds no capability, nor can it get one back.

Stops: everything that root may do by capability: override file permissions, load modules, mount,
trace. Leaves: what user 0 owns is still his to open, where the other walls do not refuse it.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Final

from strongroom.keeper.lockdown.kernel import call, prctl
from strongroom.keeper.lockdown.threads import Threads

# include/uapi/linux/prctl.h and linux/capability.h
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
VERSION_3: Final = 0x20080522
CAP_SETPCAP: Final = 8
WORDS: Final = struct.Struct("=6I")
"""Two of (effective, permitted, inheritable): the low and the high 32 capabilities."""


def permitted() -> int:
    """The calling thread's permitted set as a bit mask.

    Raises:
        OSError: the kernel refused.
        Unavailable: no system call table for this architecture.
    """
    sets = ctypes.create_string_buffer(WORDS.size)
    call("capget", _header(), sets)
    _, low, _, _, high, _ = WORDS.unpack(sets.raw)
    return int(low | high << 32)


def drop_all(threads: Threads) -> None:
    """Empty the ambient, bounding, effective, permitted and inheritable sets of every thread.

    Raises:
        OSError: the kernel refused.
        Unavailable: some thread could not be reached.
    """
    threads.everywhere(_drop_here)


def _drop_here() -> None:
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    if permitted() >> CAP_SETPCAP & 1:  # without it the bounding set stays, and nothing uses it:
        _empty_bounding_set()  # an exec gains nothing under no-new-privs
    call("capset", _header(), ctypes.create_string_buffer(WORDS.size))


def _empty_bounding_set() -> None:
    for capability in range(64):
        try:
            if prctl(PR_CAPBSET_READ, capability):
                prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            return  # EINVAL: past the last capability that this kernel knows


def _header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("=Ii", VERSION_3, 0))
