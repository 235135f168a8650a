"""Targeted output without gradients: random changes, kept where the answer becomes likelier.

What a caller with log-probabilities of an answer of his choice can do (Andriushchenko et al. 2024,
arXiv 2404.02151). Given the tokens that gradients get, it shows what the weights rung adds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.questions import Goal
from strongroom.exposure.attacks.language.suffix import allowance, plain_tokens
from strongroom.exposure.attacks.language.suffix_search import FILLER
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
from strongroom.exposure.reasons import stops


class RandomSuffix(Attack):
    """Random search on log-probabilities.

    Args:
        length: tokens of the suffix.
        together: candidates asked at once; the best is kept if it is better.
        tokens: that may go through the model for one goal.
    """

    name = "random-suffix"
    family = Family.OUTPUT
    goal = "Find a suffix that makes the model say what it would not, from log-probabilities."
    rungs = (Rung.LOGITS,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0043.001", "ATLAS:AML.T0054", "OWASP-LLM:LLM01:2025")
    source = "Andriushchenko et al. 2024, arXiv 2404.02151"
    cost = "tokens forward tokens a goal"

    def __init__(self, length: int = 12, together: int = 2, tokens: int = 8000) -> None:
        self.length = length
        self.together = together
        self.tokens = tokens

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """A prompt for every ``Goal`` asked about; ``cost`` counts forward tokens in all."""
        tokenizer, by = knowledge.public["tokenizer"], random.Random(seed)  # noqa: S311
        allowed, tokens = plain_tokens(tokenizer).tolist(), allowance(self.tokens, budget)
        prompts: list[str] = []
        cost = 0
        for goal in knowledge.asked:
            try:
                prompt, spent = self._search(target, tokenizer, goal, tokens, allowed, by)
            except ExposureRefused as error:
                if not prompts or not stops(error):
                    raise
                prompt, spent = goal.question, 0
            prompts.append(prompt)
            cost += spent
        return [Prompts(target.spent().queries, tuple(prompts), cost)]

    def _search(
        self,
        target: Any,
        tokenizer: Any,
        goal: Goal,
        tokens: int,
        allowed: list[int],
        by: random.Random,
    ) -> tuple[str, int]:
        def ids(text: str) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False).ids)

        start, after, answer = ids(goal.before + goal.question), ids(goal.after), ids(goal.answer)
        suffix, best, spent = ids(FILLER) * self.length, -float("inf"), 0
        while spent < tokens:
            tries = [suffix] if best == -float("inf") else self._changed(suffix, allowed, by)
            rows = [[*start, *each, *after, *answer] for each in tries]
            try:
                said = [float(v[-len(answer) :].mean()) for v in target.token_logprobs(rows)]
            except ExposureRefused as error:
                if best == -float("inf") or not stops(error):
                    raise
                break
            spent += sum(map(len, rows))
            place = max(range(len(said)), key=said.__getitem__)
            text = goal.before + goal.question + tokenizer.decode(tries[place]) + goal.after
            if said[place] > best and ids(text) == [*start, *tries[place], *after]:
                suffix, best = tries[place], said[place]
        return goal.question + tokenizer.decode(suffix), spent

    def _changed(self, suffix: list[int], allowed: list[int], by: random.Random) -> list[list[int]]:
        tries = []
        for _ in range(self.together):
            changed = list(suffix)
            changed[by.randrange(len(suffix))] = by.choice(allowed)
            tries.append(changed)
        return tries
