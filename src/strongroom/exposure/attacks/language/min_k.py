"""Min-K% and Min-K%++: a text that was trained on has few tokens that surprise the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from strongroom.exposure.attacks.language.asking import batched
from strongroom.exposure.attacks.language.membership import TextMembership
from strongroom.exposure.interface import Floats, Knowledge


class MinK(TextMembership):
    """Mean log-probability of the ``share`` of tokens that are least likely."""

    name = "min-k"
    goal = "Tell trained-on texts from others by their least likely tokens."
    source = "Shi et al. 2024, arXiv 2310.16789"

    def __init__(self, share: float = 0.2) -> None:
        self.share = share

    def scores(
        self, target: Any, knowledge: Knowledge, texts: Sequence[str], rows: list[list[int]]
    ) -> list[float]:
        """See the class."""
        return [lowest(said, self.share) for said in batched(target.token_logprobs, rows)]


class MinKPlusPlus(TextMembership):
    """The same, of log-probabilities standardised over the vocabulary at each place."""

    name = "min-k-plus-plus"
    goal = "Tell trained-on texts from others by their least likely tokens, standardised."
    source = "Zhang et al. 2025, arXiv 2404.02936"

    def __init__(self, share: float = 0.2) -> None:
        self.share = share

    def scores(
        self, target: Any, knowledge: Knowledge, texts: Sequence[str], rows: list[list[int]]
    ) -> list[float]:
        """See the class."""
        return [lowest(standardised(target.all_logits(row), row), self.share) for row in rows]


def lowest(values: Floats, share: float) -> float:
    """Mean of the lowest ``share`` of ``values``, one at least."""
    return float(np.sort(values)[: max(1, math.ceil(share * len(values)))].mean())


def standardised(logits: Floats, row: Sequence[int]) -> Floats:
    """(log p(token) - mean) / deviation, both under p: (length - 1,) of logits (length, v)."""
    given = logits[:-1] - logits[:-1].max(1, keepdims=True)
    chances = np.exp(given)
    total = chances.sum(1)
    centre = (chances * given).sum(1) / total
    spread = np.sqrt(np.maximum((chances * given**2).sum(1) / total - centre**2, 1e-12))
    chosen = given[np.arange(len(row) - 1), np.asarray(row[1:])]
    found: Floats = (chosen - centre) / spread
    return found
