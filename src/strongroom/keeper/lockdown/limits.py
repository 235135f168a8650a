"""Wall ``limits``: no core dumps, no growing files, no further descriptors, no message queues.

Stops: a crash writing weights to disk; a file made longer through a descriptor that was kept; a
new descriptor above those kept. Leaves: processes and threads. ``RLIMIT_NPROC`` counts threads as
well and does not bind user 0, so ``seccomp`` refuses processes instead and lets threads be made:
an OpenMP team that shrank must be able to grow again.
"""

from __future__ import annotations

import resource
from collections.abc import Collection
from typing import Final

RLIMIT_MSGQUEUE: Final = 12  # include/uapi/asm-generic/resource.h; Python has no name for it

NOTHING: Final = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, RLIMIT_MSGQUEUE)


def lower(keep: Collection[int]) -> None:
    """Lower the soft and hard limits; ``keep`` are the descriptors that stay usable.

    Raises:
        OSError: the kernel refused.
    """
    for limit in NOTHING:
        resource.setrlimit(limit, (0, 0))
    # poll(2) refuses more entries than this limit, so it must not be lower than their number.
    highest = max(keep, default=-1) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
