"""Cloning a language model: a student is taught what the target answered, and asked in its place.

Who has the public base of a fine-tuned model teaches it the answers with low-rank adapters; who has
none teaches a small network of his own, over the tokens that he has seen. Where the rung shows
log-probabilities, the student learns the listed tokens with their shares in place of the one said
(Hinton et al. 2015, arXiv 1503.02531).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.asking import base_of, ids_of
from strongroom.exposure.attacks.language.lora import Lesson, Recipe, fine_tune
from strongroom.exposure.attacks.language.own_student import OwnStudent
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Floats,
    Integers,
    Knowledge,
    Knows,
    LanguageClone,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse, stops

_POINTS = (32, 128, 512, 2048)
_OF_BUDGET = 600
"""Queries of a budget for each prompt: a prompt makes a server compute many tokens."""

_TOGETHER = 16
_TOP = 5


class LanguageCloning(Attack):
    """Ask for continuations of his own texts' beginnings, and teach them to a student.

    Args:
        tokens: of each continuation.
        layers: of the public base that learn, from the top.
        epochs: over all answers.
        steps: of training where the student begins with nothing.
        points: numbers of prompts after which a student is claimed.
    """

    name = "language-cloning"
    family = Family.CLONING
    goal = "Teach a student to answer as the model does, from its answers alone."
    rungs = (Rung.TEXT, Rung.TOPK)
    quick: ClassVar[tuple[Rung, ...]] = ()
    knowledge = (Knows.DATA, Knows.BASE)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-LLM:LLM10:2025")
    source = "Krishna et al. 2020, arXiv 1910.12366; Hinton et al. 2015, arXiv 1503.02531"
    cost = "one query a prompt, and training on the answers for each point of the curve"

    def __init__(
        self,
        tokens: int = 24,
        layers: int = 3,
        epochs: int = 3,
        steps: int = 400,
        points: tuple[int, ...] = _POINTS,
    ) -> None:
        self.tokens = tokens
        self.layers = layers
        self.epochs = epochs
        self.steps = steps
        self.points = points

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """A student at each point that budget and texts (``knowledge.data``) allow."""
        rows = ids_of(knowledge, list(knowledge.data or ()))
        most = min(len(rows), max(self.points[0], budget.queries // _OF_BUDGET))
        lessons: list[Lesson] = []
        claims: list[Claim] = []
        for point in [point for point in self.points if point <= most] or [most]:
            try:
                while len(lessons) < point:
                    part = rows[len(lessons) : min(len(lessons) + _TOGETHER, point)]
                    lessons += self._asked(target, knowledge, part)
            except ExposureRefused as error:
                if not lessons or not stops(error):
                    raise
            taught = [lesson for lesson in lessons if len(lesson.ids) > lesson.start]
            if taught:
                student = self._student(knowledge, taught, seed)
                claims.append(LanguageClone(target.spent().queries, student))
            if len(lessons) < point:
                break
        if not claims:
            raise refuse("exposure.endpoint_refused", why="it answered with no text at all")
        return claims

    def _asked(self, target: Any, known: Knowledge, rows: Sequence[Sequence[int]]) -> list[Lesson]:
        """What the target goes on with after the first half of each text."""
        tokenizer = known.public["tokenizer"]
        starts = [row[: max(1, len(row) // 2)] for row in rows]
        prompts = [tokenizer.decode(start) for start in starts]
        if not hasattr(target, "complete_scored"):
            said = target.complete(prompts, max_tokens=self.tokens)
            ends = [tokenizer.encode(text, add_special_tokens=False).ids for text in said]
            pairs = zip(starts, ends, strict=True)
            return [Lesson((*start, *end), len(start)) for start, end in pairs]
        named = _ids_by_text(tokenizer)
        scored = target.complete_scored(prompts, max_tokens=self.tokens, top=_TOP)
        return [_scored(start, said, named) for start, said in zip(starts, scored, strict=True)]

    def _student(
        self, knowledge: Knowledge, lessons: Sequence[Lesson], seed: int
    ) -> Callable[[Sequence[Sequence[int]]], list[tuple[Integers, Floats]]]:
        if knowledge.level is not Knows.BASE:
            size = int(knowledge.public["tokenizer"].get_vocab_size())
            return OwnStudent(lessons, size, self.steps, seed).predict
        module = copy.deepcopy(base_of(knowledge).model())
        recipe = Recipe(layers=self.layers, rank=8, epochs=self.epochs, rate=2e-3)
        fine_tune(module, lessons, recipe, seed)
        return Predictor(module)


class Predictor:
    """What a ``transformers`` causal model says comes next, see ``LanguageClone``."""

    def __init__(self, module: Any) -> None:
        self._module = module

    @torch.no_grad()
    def __call__(self, rows: Sequence[Sequence[int]]) -> list[tuple[Integers, Floats]]:
        """Like lengths together."""
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        found: dict[int, tuple[Integers, Floats]] = {}
        for at in range(0, len(order), _TOGETHER):
            part = order[at : at + _TOGETHER]
            ids = [torch.tensor(list(rows[number])) for number in part]
            padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
            logits = self._module(input_ids=padded, use_cache=False).logits
            for place, number in enumerate(part):
                found[number] = said_of(logits[place], ids[place])
        return [found[number] for number in range(len(rows))]


def said_of(logits: Tensor, ids: Tensor) -> tuple[Integers, Floats]:
    """Of logits (length or more, vocabulary) after each of ``ids``: see ``LanguageClone``."""
    scores = logits[: len(ids) - 1].float()
    chosen = scores.gather(1, ids[1:, None])[:, 0] - scores.logsumexp(1)
    return scores.argmax(1).numpy(), chosen.double().numpy()


@cache
def _ids_by_text(tokenizer: Any) -> dict[str, int]:
    """The token that a text in an answer's list stands for, where there is but one."""
    found: dict[str, int] = {}
    for token in range(tokenizer.get_vocab_size() - 1, -1, -1):
        found[tokenizer.decode([token])] = token
    return {text: token for text, token in found.items() if text and "\ufffd" not in text}


def _scored(start: Sequence[int], said: Any, named: dict[str, int]) -> Lesson:
    """A lesson of the tokens said, as far as each is known by its text."""
    ids: list[int] = []
    shares = []
    for text, listed in zip(said.tokens, said.top, strict=False):
        if text not in named:
            break
        pairs = [(named[t], math.exp(v)) for t, v in listed if t in named and np.isfinite(v)]
        total = sum(share for _, share in pairs)
        ids.append(named[text])
        one = [(named[text], 1.0)]
        shares.append(tuple((t, share / total) for t, share in pairs) if total else tuple(one))
    return Lesson((*start, *ids), len(start), shares=tuple(shares))
