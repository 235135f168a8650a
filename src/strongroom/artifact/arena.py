"""The arena: one private anonymous mapping that holds all weights, and that tensors alias.

Aligned to 2 MiB and advised to use huge pages, because page faults, not decryption, bound the
speed of a load. Kept out of core dumps. ``wipe`` gives the pages back to the kernel, which
zeroes them before anyone else sees them.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap

from strongroom.artifact.reasons import refuse

HUGE_PAGE = 2 * 1024 * 1024


class Arena:
    """``size`` bytes of zeroed private memory; ``view`` is writable and exactly that long."""

    __slots__ = ("_mapping", "view")

    def __init__(self, size: int) -> None:
        try:
            mapping = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, OverflowError):
            raise refuse("artifact.not_enough_memory", size=size) from None
        start = -_address(mapping) % HUGE_PAGE  # the slack is never touched, so it costs nothing
        for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_DONTDUMP):
            with contextlib.suppress(OSError):  # a kernel without huge pages is only slower
                mapping.madvise(advice)
        self._mapping = mapping
        self.view = memoryview(mapping)[start : start + size]

    def wipe(self) -> None:
        """Make every byte zero, by dropping the pages or, where they are locked, by writing."""
        try:
            self._mapping.madvise(mmap.MADV_DONTNEED)
        except OSError:
            ctypes.memset(_address(self._mapping), 0, len(self._mapping))


def _address(mapping: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))
