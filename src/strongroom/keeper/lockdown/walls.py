"""Raising the walls, in the order in which each can still be raised.

1. ``descriptors``: close everything but what is kept.
2. ``capabilities``: none left. Before 4, because a change of credentials may reset it.
3. ``no-new-privs``: 5 and 8 need it.
4. ``not-dumpable``.
5. ``landlock``: no path, no port. After it ``/proc`` is out of reach.
6. ``mdwe``: no new executable page (profile ``no-exec``).
7. ``limits``: after 5, which needs a descriptor for a moment.
8. ``seccomp``: last, because it forbids all of these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from strongroom.errors import EnvironmentLacks
from strongroom.keeper.lockdown import (
    capabilities,
    descriptors,
    landlock,
    limits,
    process_flags,
    seccomp,
)
from strongroom.keeper.lockdown.kernel import Unavailable
from strongroom.keeper.lockdown.seccomp import Profile
from strongroom.keeper.lockdown.threads import Threads

ON: Final = "on"

WALLS: Final = (
    "descriptors",
    "capabilities",
    "no-new-privs",
    "not-dumpable",
    "landlock",
    "mdwe",
    "limits",
    "seccomp",
)


def lock(
    profile: Profile, *, keep_fds: Collection[int], required: Collection[str] = ()
) -> dict[str, str]:
    """Raise every wall that this kernel has, on every thread, for good.

    Call it from the thread that starts torch's parallel work, after everything that will be
    served has run once.

    Args:
        profile: ``no-exec`` refuses new executable pages; ``jit`` allows them.
        keep_fds: the descriptors that stay open.
        required: names of ``WALLS`` without which the process must not go on.

    Returns:
        Each of ``WALLS`` with ``on``, or the reason why it is not.

    Raises:
        EnvironmentLacks: ``keeper.wall_missing`` (some walls stand by then: end the process), or
            ``keeper.wall_unknown`` (none does).
    """
    _refuse_unknown(required)
    threads = Threads()
    measures: dict[str, Callable[[], None]] = {
        "descriptors": lambda: descriptors.close_all_but(keep_fds),
        "capabilities": lambda: capabilities.drop_all(threads),
        "no-new-privs": lambda: process_flags.refuse_new_privileges(threads),
        "not-dumpable": process_flags.become_not_dumpable,
        "landlock": lambda: landlock.refuse_everything(threads),
        "mdwe": lambda: _refuse_new_code(profile),
        "limits": lambda: limits.lower(keep_fds),
        "seccomp": lambda: seccomp.allow_only_serving(profile),
    }
    standing: dict[str, str] = {}
    for name in WALLS:
        standing[name] = _raise_wall(measures[name])
        if name in required and standing[name] != ON:
            raise EnvironmentLacks(
                "keeper.wall_missing",
                f"The wall {name!r} is required and does not stand: {standing[name]}.",
                action="Use a kernel that has it (see `strongroom doctor`), or do not require it.",
            )
    return standing


def _refuse_new_code(profile: Profile) -> None:
    if profile == "jit":
        raise Unavailable("the jit profile makes code while it serves")
    process_flags.refuse_new_code()


def _raise_wall(measure: Callable[[], None]) -> str:
    try:
        measure()
    except (OSError, ValueError, Unavailable) as error:
        return str(error)
    return ON


def _refuse_unknown(required: Collection[str]) -> None:
    unknown = sorted(set(required) - set(WALLS))
    if unknown:
        raise EnvironmentLacks(
            "keeper.wall_unknown",
            f"There is no wall of the name {unknown[0]!r}.",
            action=f"Name walls among: {', '.join(WALLS)}.",
        )
