"""Code that took over the keeper tries to get out: a socket, a file, a child process, the rest.

A switch in the keeper that ran foreign code for a demonstration would be a back door. So the
attacks run in children that raise the keeper's walls by the very ``lock()`` that it calls, as the
shipped self-test does (``strongroom doctor`` offers it too).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from demo.attacks.interface import Attack, Outcome
from strongroom.keeper.lockdown.selftest import Outcome as Tried
from strongroom.keeper.lockdown.selftest import run_selftest

if TYPE_CHECKING:
    from demo.stage import Stage

GROUPS = {
    "network": ("opens a socket", "Send the weights over the network."),
    "file": ("opens a file for writing", "Leave the weights in a file."),
    "process": ("starts a child process", "Continue in a process without walls."),
}


class KeeperPrimitives(Attack):
    """All primitives of some groups, with and without walls, each in a child of its own."""

    expected = "held: refused by the kernel"

    def __init__(self, what: str, goal: str, groups: frozenset[str] | None) -> None:
        self.name = f"A taken-over keeper {what}"
        self.goal = goal
        self._groups = groups

    def run(self, stage: Stage) -> Outcome:
        return judge([tried for tried in attempts() if self._concerns(tried)])

    def _concerns(self, tried: Tried) -> bool:
        return tried.group not in GROUPS if self._groups is None else tried.group in self._groups


def all_groups() -> list[Attack]:
    """One attack for each of the ways out that people ask about first, and one for the rest."""
    named = [
        KeeperPrimitives(what, goal, frozenset({group})) for group, (what, goal) in GROUPS.items()
    ]
    rest = KeeperPrimitives("tries everything else", "Get out by any other door.", None)
    return [*named, rest]


@cache
def attempts() -> list[Tried]:
    """Every primitive, tried once a run."""
    return run_selftest()


def judge(tries: list[Tried]) -> Outcome:
    """What these tries together amount to."""
    through = [tried.name for tried in tries if not tried.refused]
    controls = [tried for tried in tries if tried.control]
    told = f"{len(controls)} of {len(tries)} work, or reach the kernel, in a child without walls"
    proven = bool(tries) and len(controls) == len(tries)
    if through:
        return Outcome(
            "succeeded", "let through", f"Not stopped: {', '.join(through)}.", told, proven
        )
    killed = sum(tried.locked == "killed" for tried in tries)
    evidence = (
        f"{len(tries)} ways ({', '.join(tried.name for tried in tries[:4])}"
        f"{', …' if len(tries) > 4 else ''}): {killed} ended the process, "
        f"{len(tries) - killed} met an error."
    )
    return Outcome("held", "killed by seccomp" if killed else "refused", evidence, told, proven)
