"""One bit of the weights flipped in the memory of a keeper that serves: is it found, and what then?

What a failing module, a cosmic ray or somebody hammering rows does. Nothing in the keeper helps:
the bit is written from outside, by who may write any process's memory. Watches without a flip,
as long as those with one, give the false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Facts,
    Family,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import SERVED

_LONG = 100.0
"""Seconds of an attack's budget from which ``flips`` are made, and not only two."""


class MemoryFlip(Attack):
    """Flip bits, one at a time, in a served keeper, and watch what becomes of it.

    Args:
        flips: how many at most; each ends a keeper, and ``serve`` starts three afresh.
    """

    name = "memory-flip"
    system = True
    family = Family.TAMPERING
    goal = "Change a weight in the memory of a running keeper, unseen"
    rungs = SERVED
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("classifier", "causal-lm")
    taxonomy = ("ATLAS:AML.T0018", "OWASP-ML:ML10:2023", "OWASP-AITG:AITG-MOD-03")
    source = "Kim et al., Flipping bits in memory, ISCA 2014; Rakin et al., arXiv 1903.12269"
    cost = "a start of the keeper and at most three rounds of its patrol for each bit"

    def __init__(self, flips: int = 3) -> None:
        self.flips = flips

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims, of each watch in order: ``flipped``, ``waits`` (seconds until the keeper ended,
        infinite where it did not), ``afresh`` (the same until it served again) and, of all,
        ``recorded``: faults that stand in the record."""
        seen = []
        for flip in [False, *[True] * (self.flips if budget.seconds >= _LONG else 2)]:
            seen.append(target.watch(flip))
            if math.isfinite(seen[-1].wait) and not math.isfinite(seen[-1].afresh):
                break  # nothing is served any more
        return [
            Facts(
                target.spent().queries,
                {
                    "flipped": tuple(number > 0 for number in range(len(seen))),
                    "waits": tuple(each.wait for each in seen),
                    "afresh": tuple(each.afresh for each in seen),
                    "recorded": target.recorded(),
                },
            )
        ]
