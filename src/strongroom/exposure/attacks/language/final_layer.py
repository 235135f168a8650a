"""The hidden size and the final layer of a language model, from logits or full log-probabilities.

Every answer is ``W h``: answers to many prompts span as many dimensions as the model is wide, and
their row space is that of W. A sample of tokens little larger than the hidden size tells as much as
the whole vocabulary. The hidden size is not known beforehand, so sample and queries are doubled
until the rank stands still below both.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from strongroom.exposure.attacks.language.spectrum import centred, row_space, spectrum
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Facts,
    Family,
    Floats,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung

_BATCH = 32


class FinalLayer(Attack):
    """Hidden size, and the final layer's rows of sampled tokens up to an invertible map.

    Args:
        queries: at most; the hidden size is found if it is below about nine tenths of them.
        start: queries before the first look; doubled at each.
        length: tokens of a random prompt.
    """

    name = "final-layer"
    family = Family.REVERSE
    goal = "Find the hidden size, and the final layer up to a linear map."
    rungs = (Rung.LOGITS,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-LLM:LLM10:2025")
    source = "Carlini et al. 2024, arXiv 2403.06634; Finlayson et al. 2024, arXiv 2403.09539"
    cost = "about 1.2 queries a dimension, three tokens each"

    def __init__(self, queries: int = 700, start: int = 44, length: int = 3) -> None:
        self.queries = queries
        self.start = start
        self.length = length

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims ``hidden_size`` and ``final_layer`` (tokens, hidden) of ``sampled_tokens``."""
        by = random.Random(seed)  # noqa: S311
        rows: list[Floats] = []
        claims: list[Claim] = []
        wanted, most = self.start, min(self.queries, budget.queries)
        first = target.next_logits([[0]])
        vocabulary = first.shape[1]
        tokens = sampled_tokens(vocabulary, 2 * most, seed)
        while True:
            while len(rows) < wanted:
                count = min(_BATCH, wanted - len(rows))
                rows.extend(target.next_logits(self._prompts(count, vocabulary, by))[:, tokens])
            seen = np.stack(rows)
            found = spectrum(centred(seen))
            facts: dict[str, Any] = {}
            if found.found:
                layer = row_space(seen, found.rank)
                facts = {"hidden_size": found.rank, "final_layer": layer}
            claims.append(Facts(target.spent().queries, facts))
            if found.found or wanted >= most - 1:
                return claims
            wanted = min(2 * wanted, most - 1)

    def _prompts(self, count: int, vocabulary: int, by: random.Random) -> list[list[int]]:
        return [[by.randrange(vocabulary) for _ in range(self.length)] for _ in range(count)]


def sampled_tokens(vocabulary: int, count: int, seed: int) -> list[int]:
    """The tokens whose rows are claimed, in order: the judge compares the same ones."""
    if count >= vocabulary:
        return list(range(vocabulary))
    return sorted(random.Random(seed).sample(range(vocabulary), count))  # noqa: S311


def head_of(module: Any, tokens: Sequence[int]) -> Floats:
    """The true rows of a ``transformers`` model's final layer, for the judge."""
    weight: Floats = module.lm_head.weight.detach().float().numpy()[list(tokens)]
    return weight
