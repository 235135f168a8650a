"""Membership through text alone: does the model go on as the text does, where the base would not?

The text is cut at several places; from each the model writes a few tokens, and each token that
agrees counts as much as it surprises the public base. Agreement ends at the first difference: what
follows one is another text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strongroom.exposure.attacks.language.asking import base_of
from strongroom.exposure.attacks.language.membership import TextMembership
from strongroom.exposure.interface import Floats, Knowledge, Knows
from strongroom.exposure.ladder import Rung


class TextOnlyMembership(TextMembership):
    """Surprise, to the base, of what the model rightly goes on with.

    Args:
        first: tokens before the first cut.
        step: tokens between cuts, and asked for at each.
    """

    name = "text-only-membership"
    goal = "Tell fine-tuned-on texts from others by how the model continues them."
    rungs = (Rung.TEXT,)
    knowledge = (Knows.BASE,)
    source = "after Hallinan et al. 2025, arXiv 2508.09603, and Carlini et al. 2021"
    cost = "(tokens - first) / step queries a text"

    def __init__(self, first: int = 8, step: int = 8) -> None:
        self.first = first
        self.step = step

    def scores(
        self, target: Any, knowledge: Knowledge, texts: Sequence[str], rows: list[list[int]]
    ) -> list[float]:
        """See the class."""
        tokenizer = knowledge.public["tokenizer"]
        surprise = base_of(knowledge).token_logprobs(rows)
        asked = [(n, at) for n, row in enumerate(rows) for at in self._cuts(row)]
        prompts = [tokenizer.decode(rows[n][:at]) for n, at in asked]
        found = [0.0] * len(rows)
        for (n, at), said in zip(
            asked, target.complete(prompts, max_tokens=self.step), strict=True
        ):
            agreed = agreeing(tokenizer, rows[n], at, said)
            found[n] += weight(surprise[n], at, agreed)
        return [total / len(row) for total, row in zip(found, rows, strict=True)]

    def _cuts(self, row: Sequence[int]) -> range:
        return range(min(self.first, len(row) - 1), len(row), self.step)


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
