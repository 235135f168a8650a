"""A taken-over gateway and a colluding tenant carry out what they can through the egress meter.

The gateway speaks the keeper's own protocol and keeps to no policy of its own:

1. it asks as whichever tenant the sealed policy favours most, with all the scores there are;
2. when that budget is spent, it invents tenants, one after the other;
3. it asks for ever less, down to one token or one row, to use up the last bits;
4. it goes on until no size and no new name brings anything.

Every choice that came back is written down with its number of outcomes: the bits are counted from
what was heard, not from what the keeper says that it charged. How a generation ended counts as one
of five; that it ended by itself as one more token, since the place of an end is information.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Facts,
    Family,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import LADDER, SERVED, Rung
from strongroom.exposure.targets.system import Ask, Greeting, Heard

_SPENT = {"egress"}
"""How a generation ends that the meter cut short."""

_SIZES = {"text": (32, 4, 1), "rows": (64, 8, 1)}
_AT_ONCE = 8
_TOP = 5


class Exfiltration(Attack):
    """Ask as the compromised gateway does.

    Args:
        names: invented tenants that must get nothing in a row before it gives up.
    """

    name = "exfiltration"
    system = True
    family = Family.ABUSE
    goal = "Carry weights out through answers, past the egress meter"
    rungs = SERVED
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("classifier", "causal-lm")
    taxonomy = ("ATLAS:AML.T0025", "RAND-SL:SL3", "GPAI-CoP:Commitment-6")
    source = "Nevo et al., Securing AI model weights, RAND RR-A2849-1, 2024"
    cost = "as many answers as the drill's budget holds"

    def __init__(self, names: int = 3) -> None:
        self.names = names

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims ``choices``: how often one of so many outcomes was heard; after each tenant."""
        greeting = target.greeting()
        heard: Counter[int] = Counter()
        favoured, scores = _favoured(greeting)
        claims: list[Claim] = []
        silent, number, name = 0, 0, favoured
        until = time.monotonic() + budget.seconds
        while silent < self.names and time.monotonic() < until:
            before = heard.total()
            asked = (scores, 0) if name == favoured and scores else (0,)
            going = all(self._drain(target, greeting, Ask(name, 1, s), heard, until) for s in asked)
            claims.append(Facts(target.spent().queries, {"choices": dict(heard)}))
            if not going:
                break
            silent = 0 if heard.total() > before else silent + 1
            number += 1
            name = f"invented-{number}"
        return claims

    def _drain(
        self, target: Any, greeting: Greeting, least: Ask, heard: Counter[int], until: float
    ) -> bool:
        """Ask for less and less, down to ``least``; whether the drill may go on asking."""
        for size in _SIZES["rows" if greeting.row else "text"]:
            asks, going = [replace(least, amount=size)] * _AT_ONCE, True
            while going and time.monotonic() < until:
                try:
                    said = target.exchange(asks)
                except ExposureRefused as error:
                    if error.code != "exposure.budget_spent":
                        raise
                    return False
                for each in said:
                    heard.update(each.choices)
                going = not all(_over(each) for each in said)
        return True


def _over(said: Heard) -> bool:
    """Whether asking so again brings nothing."""
    return not said.choices or said.code in _SPENT


def _favoured(greeting: Greeting) -> tuple[str, int]:
    """The tenant with the highest rung, and how many scores to ask for."""
    tenants: Mapping[str, str] = greeting.tenants or {"*": "closed"}
    name = max(tenants, key=lambda each: LADDER.index(Rung(tenants[each])))
    rung = Rung(tenants[name])
    said = "anybody" if name == "*" else name
    if LADDER.index(rung) >= LADDER.index(Rung.TOPK):
        return said, _TOP
    return said, int(rung is Rung.TOP1)
