"""Targeted output with gradients: a suffix that makes the model begin with the wanted answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch

from strongroom.exposure.attacks.language.scene import Scene
from strongroom.exposure.attacks.language.suffix import (
    allowance,
    greedy_coordinate_gradient,
    plain_tokens,
)
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Prompts,
)
from strongroom.exposure.ladder import Rung

FILLER = " !"


class SuffixSearch(Attack):
    """Greedy coordinate gradient with a shared prefix.

    Args:
        length: tokens of the suffix.
        width: changes tried in a step.
        top: promising tokens a place.
        tokens: that may go through the model for one goal; the budget black-box search gets too.
    """

    name = "suffix-search"
    family = Family.OUTPUT
    goal = "Find a suffix that makes the model say what it would not."
    rungs = (Rung.WEIGHTS,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0043.000", "ATLAS:AML.T0054", "OWASP-LLM:LLM01:2025")
    source = "Zou et al. 2023, arXiv 2307.15043"
    cost = "tokens forward tokens a goal"

    def __init__(
        self, length: int = 12, width: int = 24, top: int = 64, tokens: int = 8000
    ) -> None:
        self.length = length
        self.width = width
        self.top = top
        self.tokens = tokens

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """A prompt for every ``Goal`` asked about; ``cost`` counts forward tokens in all."""
        module, tokenizer = target.model(), knowledge.public["tokenizer"]
        allowed, tokens = plain_tokens(tokenizer), allowance(self.tokens, budget)
        prompts, cost = [], 0
        for goal in knowledge.asked:
            prompt, spent = self._search(Scene(module, tokenizer, goal), tokens, allowed, seed)
            prompts.append(prompt)
            cost += spent
        return [Prompts(target.spent().queries, tuple(prompts), cost)]

    def _search(
        self, scene: Scene, tokens: int, allowed: torch.Tensor, seed: int
    ) -> tuple[str, int]:
        start = filler(scene, self.length)
        steps = greedy_coordinate_gradient(
            scene, start, allowed, width=self.width, top=self.top, seed=seed
        )
        for step in steps:
            best = step
            if step.tokens >= tokens:
                break
        return scene.text(best.suffix), scene.tokens


def filler(scene: Scene, length: int) -> torch.Tensor:
    """The suffix to start from: exclamation marks, as in the paper."""
    return torch.tensor(scene.ids(FILLER) * length)
