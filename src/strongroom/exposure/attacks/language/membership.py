"""What the membership attacks on texts have in common: one score a text, claimed at each point."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.exposure.attacks.language.asking import finite, ids_of
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Floats,
    Knowledge,
    Knows,
    Scores,
)
from strongroom.exposure.ladder import Rung


class TextMembership(Attack):
    """A membership attack whose score of a text depends on that text alone."""

    family = Family.MEMBERSHIP
    rungs = (Rung.LOGITS,)
    knowledge: ClassVar[tuple[Knows, ...]] = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.000", "OWASP-LLM:LLM02:2025")
    cost = "one query a text"

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Score every text asked about (strings); nothing is random."""
        texts = list(knowledge.asked)
        scores = finite(self.scores(target, knowledge, texts, ids_of(knowledge, texts)))
        return [Scores(target.spent().queries, scores)]

    @abstractmethod
    def scores(
        self, target: Any, knowledge: Knowledge, texts: Sequence[str], rows: list[list[int]]
    ) -> Sequence[float] | Floats:
        """One number a text, higher meaning "was trained on"; ``rows`` are the texts' tokens."""
