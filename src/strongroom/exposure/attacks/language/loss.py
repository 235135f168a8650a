"""Membership by the loss alone: a text that the model finds likely was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strongroom.exposure.attacks.language.asking import batched
from strongroom.exposure.attacks.language.membership import TextMembership
from strongroom.exposure.interface import Knowledge


class TextLoss(TextMembership):
    """Mean log-probability of the text's tokens."""

    name = "text-loss"
    goal = "Tell trained-on texts from others by the model's loss."
    source = "Yeom et al. 2018, arXiv 1709.01604"

    def scores(
        self, target: Any, knowledge: Knowledge, texts: Sequence[str], rows: list[list[int]]
    ) -> list[float]:
        """See the class."""
        return [float(said.mean()) for said in batched(target.token_logprobs, rows)]
