"""Wall ``landlock``: no file system, no TCP, no signals or abstract sockets to the outside.

Stops: opening, making, removing or renaming anything by path, TCP ``bind`` and ``connect``,
signals to other processes. Leaves: descriptors that are open already, UDP and other sockets,
``memfd_create``, ``fork``, io_uring; those are seccomp's. Kernels offer parts of it (the ABI).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from strongroom.keeper.lockdown.kernel import Unavailable, call
from strongroom.keeper.lockdown.threads import Threads

# include/uapi/linux/landlock.h
CREATE_RULESET_VERSION: Final = 1
ACCESS_FS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""ABI to how many file-system rights exist from then on (REFER, TRUNCATE, IOCTL_DEV)."""

ACCESS_NET: Final = 0b11  # BIND_TCP, CONNECT_TCP: ABI 4
SCOPE: Final = 0b11  # ABSTRACT_UNIX_SOCKET, SIGNAL: ABI 6
ABI_NET, ABI_SCOPE = 4, 6


def abi() -> int:
    """The Landlock ABI of this kernel.

    Raises:
        Unavailable: the kernel has no Landlock, or it was turned off at boot.
    """
    try:
        return call("landlock_create_ruleset", 0, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        raise Unavailable(f"the kernel has no Landlock, or it is off ({error})") from None


def refuse_everything(threads: Threads) -> None:
    """Refuse every access that this kernel's Landlock can refuse, on every thread.

    Raises:
        OSError: the kernel refused.
        Unavailable: no Landlock, or some thread could not be reached.
    """
    attributes = _ruleset(abi())
    ruleset = call("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        threads.everywhere(lambda: call("landlock_restrict_self", ruleset, 0))
    finally:
        os.close(ruleset)


def _ruleset(version: int) -> ctypes.Array[ctypes.c_char]:
    """``struct landlock_ruleset_attr``: what is handled and, without rules, refused."""
    rights = max(count for since, count in ACCESS_FS.items() if since <= version)
    files = (1 << rights) - 1
    net = ACCESS_NET if version >= ABI_NET else 0
    scope = SCOPE if version >= ABI_SCOPE else 0
    words = 3 if scope else 2 if net else 1
    packed = struct.pack("=3Q", files, net, scope)[: 8 * words]
    return ctypes.create_string_buffer(packed, len(packed))
