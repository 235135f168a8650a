"""What one key, several of one organisation, and a leaked one can burn before limits stop them.

The auditor sets the limits on organisations of the drill: the owner's own are not touched. Each arm
asks twice as often as its limit allows; an organisation without a limit is the control, which
must get it all, or the drill could not have gone beyond a limit either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Spending,
)
from strongroom.exposure.ladder import SERVED
from strongroom.exposure.targets.system import Load

LIMIT = 4
"""Requests in all that an organisation of the drill may make."""

LEAKED = 2
"""The same for the key that leaks; its organisation has ``LIMIT``."""

ARMS: dict[str, tuple[str, ...]] = {
    "one key": ("one",),
    "four keys of one organisation": ("many-1", "many-2", "many-3", "many-4"),
    "a leaked key": ("leaked",),
    "no limit": ("free",),
}
"""Whose keys each arm uses, by the names that the auditor gave them."""

ALLOWED = {
    "one key": float(LIMIT),
    "four keys of one organisation": float(LIMIT),
    "a leaked key": float(LEAKED),
}


class ManyKeys(Attack):
    """Ask with the keys of an arm in turn until long after the limit.

    Args:
        beyond: how many times the limit is asked for.
    """

    name = "many-keys"
    system = True
    family = Family.ABUSE
    goal = "Burn more than the limits allow, with more keys"
    rungs = SERVED
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("classifier", "causal-lm")
    taxonomy = ("ATLAS:AML.T0034", "OWASP-LLM:LLM10:2025")
    source = "OWASP Top 10 for LLM applications 2025, unbounded consumption"
    cost = "some dozens of the smallest requests"

    def __init__(self, beyond: int = 2) -> None:
        self.beyond = beyond

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Requests that each arm was answered, beside those that it was allowed."""
        load = Load("Hi", 1) if knowledge.public.get("context") else Load(rows=1)
        obtained = {}
        for arm, keys in ARMS.items():
            tries = self.beyond * LIMIT
            said = [target.ask(keys[number % len(keys)], load) for number in range(tries)]
            obtained[arm] = float(sum(not each.code for each in said))
        return [Spending(target.spent().queries, obtained, ALLOWED)]
