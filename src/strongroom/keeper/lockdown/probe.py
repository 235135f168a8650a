"""What this kernel offers, for ``strongroom doctor``: questions only, nothing is raised."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from strongroom.keeper.lockdown import (
    capabilities,
    kernel,
    landlock,
    process_flags,
    seccomp,
)
from strongroom.keeper.lockdown.kernel import Unavailable


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One wall: whether it can be raised here, and what to know about it."""

    available: bool
    detail: str


def probe() -> dict[str, ProbeResult]:
    """Each of ``WALLS``, and ``arena-locked``; the caller is not changed."""
    return {name: _answer(question) for name, question in _QUESTIONS.items()}


def _answer(question: Callable[[], str]) -> ProbeResult:
    try:
        return ProbeResult(True, question())
    except (OSError, Unavailable) as error:
        return ProbeResult(False, str(error))


def _descriptors() -> str:
    try:
        kernel.call("close_range", 2**32 - 1, 2**32 - 1, 0)  # no such descriptor: nothing happens
    except (OSError, Unavailable):
        return "closed one by one: no close_range (Linux 5.9)"
    return "closed by close_range"


def _capabilities() -> str:
    held = capabilities.permitted().bit_count()
    return f"{held} to drop" if held else "none held"


def _no_new_privileges() -> str:
    kernel.prctl(process_flags.PR_GET_NO_NEW_PRIVS)
    return "offered"


def _not_dumpable() -> str:
    kernel.prctl(process_flags.PR_GET_DUMPABLE)
    return "offered"


def _landlock() -> str:
    version = landlock.abi()
    missing = [
        name
        for name, since in (("TCP", landlock.ABI_NET), ("signals", landlock.ABI_SCOPE))
        if version < since
    ]
    return f"ABI {version}" + (f", without {' and '.join(missing)}" if missing else "")


def _mdwe() -> str:
    try:
        kernel.prctl(process_flags.PR_GET_MDWE)
    except OSError:
        raise Unavailable("the kernel has no PR_SET_MDWE (Linux 6.3)") from None
    return "offered (profile no-exec)"


def _limits() -> str:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        f"core, file size and message queues to 0, descriptors from {_amount(most)} to those kept"
    )


def _seccomp() -> str:
    if not seccomp.kill_is_available():
        raise Unavailable("the kernel has no SECCOMP_RET_KILL_PROCESS (Linux 4.14)")
    return f"{len(seccomp.filter_for('no-exec')) // 8} instructions"


def _locked_memory() -> str:
    _, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if most == 0:
        raise Unavailable("RLIMIT_MEMLOCK is 0: weights may be written to swap")
    return f"up to {_amount(most)} bytes; more may be written to swap"


def _amount(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else f"{limit:,}"


_QUESTIONS: Final[dict[str, Callable[[], str]]] = {
    "descriptors": _descriptors,
    "capabilities": _capabilities,
    "no-new-privs": _no_new_privileges,
    "not-dumpable": _not_dumpable,
    "landlock": _landlock,
    "mdwe": _mdwe,
    "limits": _limits,
    "seccomp": _seccomp,
    "arena-locked": _locked_memory,
}
