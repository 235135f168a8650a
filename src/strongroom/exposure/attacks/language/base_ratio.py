"""Membership by the likelihood ratio to the public base: what fine-tuning made likelier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strongroom.exposure.attacks.language.asking import base_of, batched
from strongroom.exposure.attacks.language.membership import TextMembership
from strongroom.exposure.interface import Knowledge, Knows


class BaseRatio(TextMembership):
    """Mean log-probability of the text, less what the public base gives it."""

    name = "base-ratio"
    goal = "Tell fine-tuned-on texts from others by comparing with the public base."
    knowledge = (Knows.BASE,)
    source = "Carlini et al. 2021, arXiv 2012.07805; Mireshghallah et al. 2022, arXiv 2203.03929"

    def scores(
        self, target: Any, knowledge: Knowledge, texts: Sequence[str], rows: list[list[int]]
    ) -> list[float]:
        """See the class."""
        usual = base_of(knowledge).token_logprobs(rows)
        said = batched(target.token_logprobs, rows)
        return [float((own - base).mean()) for own, base in zip(said, usual, strict=True)]
