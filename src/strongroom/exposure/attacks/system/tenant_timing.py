"""What one tenant's clock tells of another: the same prefix asked before, or work under way.

In each round the other tenant does it or does not, by bits that only the judge holds; the attacker
times requests of its own and scores the round by them. A cache that tenants share makes a prefix
fast that somebody has asked; a batch that they share makes everybody slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Scores,
)
from strongroom.exposure.ladder import SERVED


class _Timing(Attack):
    """Times rounds; which way the clock points is the subclass's.

    Args:
        rounds: how many are played.
    """

    system = True
    family = Family.ABUSE
    knowledge = (Knows.NOTHING,)
    taxonomy = ("ATLAS:AML.T0024", "NIST-AML:NISTAML.032")
    faster: ClassVar[bool]

    def __init__(self, rounds: int = 40) -> None:
        self.rounds = rounds

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """A score a round, higher meaning that the other tenant did it: the median of its times."""
        medians = np.array([np.median(target.times(number)) for number in range(self.rounds)])
        scores = -medians if self.faster else medians
        return [Scores(target.spent().queries, scores)]


class PrefixTiming(_Timing):
    """Ask a prompt once, and see whether it comes faster where another tenant asked it before."""

    name = "prefix-timing"
    goal = "Tell by one's own latency whether another tenant asked the same prompt"
    rungs = SERVED
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    source = "Song et al., The early bird catches the leak, 2024; CVE-2025-46570"
    cost = "two short answers a round"
    faster = True


class ActivityTiming(_Timing):
    """Ask something small, and see whether it comes slower where another tenant is served."""

    name = "activity-timing"
    goal = "Tell by one's own latency whether another tenant is being served"
    rungs = SERVED
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("classifier", "causal-lm")
    source = "Weiss et al., What was your prompt?, USENIX Security 2024"
    cost = "some small answers a round"
    faster = False
