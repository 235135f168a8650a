"""What the key-release process gives up before it reads its first key."""

from __future__ import annotations

import ctypes
import os
import resource

from strongroom.errors import EnvironmentLacks

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def harden() -> None:
    """No core dump, no reading of this memory by the same user's processes, no new privileges.

    Raises:
        EnvironmentLacks: ``release.cannot_harden``.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
        if libc.prctl(option, *arguments) != 0:
            raise EnvironmentLacks(
                "release.cannot_harden",
                f"prctl option {option} failed: {os.strerror(ctypes.get_errno())}.",
                action="Run on Linux without a filter that forbids prctl.",
            )
