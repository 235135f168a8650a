"""Wall ``descriptors``: only the descriptors that serving needs stay open.

Stops: use of a file, socket or directory that start-up left open. Leaves: the descriptors kept,
and memory that is mapped already (closing a file does not unmap it).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from strongroom.keeper.lockdown import kernel

_HIGHEST: Final = 0xFFFF_FFFF  # close_range(2): descriptors are unsigned


def close_all_but(keep: Collection[int]) -> None:
    """Close every descriptor that is not in ``keep``.

    Raises:
        OSError: the kernel refused.
    """
    first = 0
    for kept in sorted(set(keep)):
        if kept > first:
            _close(first, kept - 1)
        first = kept + 1
    _close(first, _HIGHEST)


def _close(first: int, last: int) -> None:
    try:
        kernel.call("close_range", first, last, 0)
    except (OSError, kernel.Unavailable):  # before Linux 5.9
        os.closerange(first, min(last + 1, _table_size()))


def _table_size() -> int:
    return max(int(name) for name in os.listdir("/proc/self/fd")) + 1  # noqa: PTH208
