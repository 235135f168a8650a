"""Walls ``not-dumpable``, ``no-new-privs`` and ``mdwe``: single flags of prctl(2).

- ``not-dumpable``: other processes of the same user cannot trace this one or read its memory, and
  no core is dumped. Holders of ``CAP_SYS_PTRACE`` can.
- ``no-new-privs``: nothing started from here gains privileges; seccomp and Landlock need it.
- ``mdwe``: memory that was not executable never becomes so, and none is mapped writable and
  executable. It holds for the whole process. Leaves: code that is mapped already.
"""

from __future__ import annotations

from typing import Final

from strongroom.keeper.lockdown.kernel import Unavailable, prctl
from strongroom.keeper.lockdown.threads import Threads

# include/uapi/linux/prctl.h
PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39
PR_SET_MDWE: Final = 65
PR_GET_MDWE: Final = 66
PR_MDWE_REFUSE_EXEC_GAIN: Final = 1


def become_not_dumpable() -> None:
    """Raise ``not-dumpable``.

    Raises:
        OSError: the kernel refused.
    """
    prctl(PR_SET_DUMPABLE, 0)


def refuse_new_privileges(threads: Threads) -> None:
    """Raise ``no-new-privs`` on every thread.

    Raises:
        OSError: the kernel refused.
        Unavailable: some thread could not be reached.
    """
    threads.everywhere(lambda: prctl(PR_SET_NO_NEW_PRIVS, 1))


def refuse_new_code() -> None:
    """Raise ``mdwe``.

    Raises:
        OSError: the kernel refused.
        Unavailable: the kernel is older than Linux 6.3.
    """
    try:
        prctl(PR_GET_MDWE)
    except OSError:
        raise Unavailable("the kernel has no PR_SET_MDWE (Linux 6.3)") from None
    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN)
