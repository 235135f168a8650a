"""Membership through text alone: does the model go on as the text does, where the base would not?

The text is cut at several places; from each the model writes a few tokens, and each token that
agrees counts as much as it surprises the public base. Agreement ends at the first difference: what
follows one is another text. All texts are asked about at their first cut, then at their second, so
that a budget which ends has dealt with all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.asking import base_of, finite, ids_of
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
from strongroom.exposure.reasons import stops


class TextOnlyMembership(Attack):
    """Surprise, to the base, of what the model rightly goes on with; a claim after each cut.

    Args:
        first: tokens before the first cut.
        step: tokens between cuts, and asked for at each.
    """

    name = "text-only-membership"
    family = Family.MEMBERSHIP
    goal = "Tell fine-tuned-on texts from others by how the model continues them."
    rungs = (Rung.TEXT,)
    knowledge = (Knows.BASE,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.000", "OWASP-LLM:LLM02:2025")
    source = "after Hallinan et al. 2025, arXiv 2508.09603, and Carlini et al. 2021"
    cost = "(tokens - first) / step queries a text"

    def __init__(self, first: int = 8, step: int = 8) -> None:
        self.first = first
        self.step = step

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Score every text asked about (strings); nothing is random."""
        rows = ids_of(knowledge, list(knowledge.asked))
        tokenizer = knowledge.public["tokenizer"]
        surprise = base_of(knowledge).token_logprobs(rows)
        cuts = [range(min(self.first, len(row) - 1), len(row), self.step) for row in rows]
        found = [0.0] * len(rows)
        claims: list[Claim] = []
        for turn in range(max(map(len, cuts))):
            asked = [(n, places[turn]) for n, places in enumerate(cuts) if turn < len(places)]
            prompts = [tokenizer.decode(rows[n][:at]) for n, at in asked]
            try:
                said = target.complete(prompts, max_tokens=self.step)
            except ExposureRefused as error:
                if not claims or not stops(error):
                    raise
                break
            for (n, at), text in zip(asked, said, strict=True):
                found[n] += weight(surprise[n], at, agreeing(tokenizer, rows[n], at, text))
            scores = [total / len(row) for total, row in zip(found, rows, strict=True)]
            claims.append(Scores(target.spent().queries, finite(scores)))
        return claims


def agreeing(tokenizer: Any, row: Sequence[int], at: int, said: str) -> int:
    """How many tokens of ``row`` from ``at`` on the text ``said`` repeats."""
    spoken = tokenizer.encode(said, add_special_tokens=False).ids
    count = 0
    for mine, theirs in zip(row[at:], spoken, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def weight(logprobs: Floats, at: int, agreed: int) -> float:
    """Nats by which the agreed tokens surprised the base; ``logprobs[i]`` is of token i + 1."""
    return float(-logprobs[at - 1 : at - 1 + agreed].sum())
