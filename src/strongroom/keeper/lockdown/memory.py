"""Protecting the pages that hold weights, before the walls go up.

- ``arena-no-dump``: left out of core dumps, whatever the process's own flag says.
- ``arena-no-fork``: a child of this process would not inherit the pages.
- ``arena-locked``: never written to swap. ``RLIMIT_MEMLOCK`` bounds it for ordinary users.
- ``arena-read-only``: a stray write ends the process instead of altering the model. Left out
  where the pages are locked: only by writing can locked pages be wiped.

Leaves: whoever may read this process's memory anyway (see ``docs/lockdown.md``).
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from strongroom.keeper.lockdown.kernel import Unavailable, call

# include/uapi/asm-generic/mman-common.h
MADV_DONTFORK: Final = 10
MADV_DONTDUMP: Final = 16
PROT_READ: Final = 1


def protect_arena(view: memoryview) -> dict[str, str]:
    """Protect the pages of ``view``: writable, contiguous, not empty, beginning on a page.

    ``view`` must not be written afterwards. Call it before ``lock``: locking more than the limit
    needs a capability. Each measure is answered with ``on`` or the reason why it is not.
    """
    start = ctypes.addressof(ctypes.c_char.from_buffer(view))
    page = os.sysconf("SC_PAGE_SIZE")
    length = -(-view.nbytes // page) * page
    done = {
        "arena-no-dump": _tried("madvise", start, length, MADV_DONTDUMP),
        "arena-no-fork": _tried("madvise", start, length, MADV_DONTFORK),
        "arena-locked": _tried("mlock", start, length),
    }
    if done["arena-locked"] == "on":
        done["arena-read-only"] = "locked pages are wiped by writing"
    else:
        done["arena-locked"] += " (the limit is RLIMIT_MEMLOCK)"
        done["arena-read-only"] = _tried("mprotect", start, length, PROT_READ)
    return done


def _tried(name: str, *arguments: int) -> str:
    try:
        call(name, *arguments)
    except (OSError, Unavailable) as error:
        return str(error)
    return "on"
