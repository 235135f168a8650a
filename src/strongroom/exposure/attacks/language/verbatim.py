"""Verbatim extraction through text: given how a text begins, does the model go on as it did?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Texts,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import stops


class Verbatim(Attack):
    """One greedy continuation, then sampled ones; a claim after 1, 2, 4 ... tries.

    Args:
        tries: continuations of each prompt in all.
        tokens: of each continuation.
        temperature: of those that are sampled.
    """

    name = "verbatim-extraction"
    family = Family.EXTRACTION
    goal = "Make the model repeat training texts word for word."
    rungs = (Rung.TEXT,)
    knowledge = (Knows.DATA,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0057", "OWASP-LLM:LLM02:2025")
    source = "Carlini et al. 2023, arXiv 2202.07646; Hayes et al. 2024, arXiv 2410.19482"
    cost = "tries queries a prompt"

    def __init__(self, tries: int = 1, tokens: int = 24, temperature: float = 1.0) -> None:
        self.tries = tries
        self.tokens = tokens
        self.temperature = temperature

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Continue every prompt asked about (strings)."""
        prompts = list(knowledge.asked)
        found: list[tuple[str, ...]] = [()] * len(prompts)
        claims: list[Claim] = []
        for attempt in range(1, self.tries + 1):
            warmth = 0.0 if attempt == 1 else self.temperature
            try:
                said = target.complete(prompts, max_tokens=self.tokens, temperature=warmth)
            except ExposureRefused as error:
                if not claims or not stops(error):
                    raise
                break
            found = [(*before, now) for before, now in zip(found, said, strict=True)]
            if attempt & (attempt - 1) == 0 or attempt == self.tries:
                claims.append(Texts(target.spent().queries, tuple(found)))
        return claims
