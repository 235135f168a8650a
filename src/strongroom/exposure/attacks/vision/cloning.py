"""Cloning: a surrogate trained on the target's answers (Tramer et al. 2016; Orekondy et al. 2019).

The attacker asks for a growing number of inputs and trains a fresh network on what came back: hard
labels, or whatever distribution the rung shows. Inputs are in-distribution data where he has some;
otherwise ``foreign`` ones that look like nothing in particular: smooth noise of every scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Clone,
    Family,
    Floats,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import stops

from .box import seeded
from .recipe import Recipe, logits_of, train
from .view import Public, public, soft_answers

BUDGETS = (100, 400, 1600, 6400, 25600)
_STEPS = 1500
_AT_ONCE = 64
"""Rows of one question: no more is lost where the target stops."""

_LEAST_EPOCHS, _MOST_EPOCHS = 6, 60


class Cloning(Attack):
    """Train a network of the attacker's own on the target's answers.

    Args:
        steps: training steps of each clone, about.
    """

    name = "cloning"
    family = Family.CLONING
    goal = "Train a copy of the model from its answers"
    rungs = (Rung.LABEL, Rung.TOP1, Rung.TOPK, Rung.LOGITS)
    knowledge = (Knows.NOTHING, Knows.DATA, Knows.RECIPE)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-ML:ML05:2023")
    source = "Tramer et al., Stealing machine learning models via prediction APIs, USENIX 2016"
    cost = "the queries, and training a network on them for each point of the curve"

    def __init__(self, *, steps: int = _STEPS) -> None:
        self.steps = steps

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """A clone at each point of the budget, each point asking only for what is new."""
        claims: list[Claim] = []
        for clone, spent in grow(target, knowledge, budget, seed, self.steps):
            claims.append(Clone(spent, _predictor(clone)))
        return claims


def grow(
    target: Any, knowledge: Knowledge, budget: Budget, seed: int, steps: int = _STEPS
) -> list[tuple[nn.Sequential, int]]:
    """Clones and the queries spent on each, smallest first; none if the budget is empty."""
    known = public(knowledge)
    pool = query_pool(knowledge, known, max(budget.points or BUDGETS), budget.queries, seed)
    recipe = knowledge.recipe or generic(known, pool)
    answers = torch.empty(0, known.classes)
    clones = []
    for point in sorted({min(p, len(pool)) for p in budget.points or BUDGETS} - {0}):
        before = len(answers)
        answers = _asked(target, pool[:point], answers)
        if len(answers) > before:
            inputs = torch.from_numpy(pool[: len(answers)])
            fitting = _paced(recipe, len(answers), steps)
            clones.append((train(fitting, inputs, answers, seed), len(answers)))
        if len(answers) < point:
            break
    return clones


def _asked(target: Any, pool: Floats, answers: Tensor) -> Tensor:
    """``answers`` and those to the rest of ``pool``, as far as the target gives any."""
    classes = answers.shape[1]
    while len(answers) < len(pool):
        try:
            more = soft_answers(target, pool[len(answers) : len(answers) + _AT_ONCE], classes)
        except ExposureRefused as error:
            if not len(answers) or not stops(error):
                raise
            break
        answers = torch.cat([answers, more])
    return answers


def query_pool(knowledge: Knowledge, known: Public, most: int, allowed: int, seed: int) -> Floats:
    """What to ask, (n, *shape), n at most ``most`` and ``allowed``; own data, or noise."""
    count = min(most, allowed)
    if knowledge.data is None or knowledge.level is Knows.NOTHING:
        return foreign(known, count, seed)
    own = knowledge.data.inputs
    order = np.random.default_rng(seed).permutation(len(own))
    return np.ascontiguousarray(own[order[:count]], dtype=np.float32)


def foreign(known: Public, count: int, seed: int) -> Floats:
    """Smooth noise of random scale and contrast, (count, *shape), in the input range."""
    by, (low, high) = seeded(seed), known.bounds
    shape = known.shape if len(known.shape) == 3 else (1, 1, int(np.prod(known.shape)))
    found = torch.zeros(count, *shape)
    scales = [s for s in (2, 3, 4, 6, 8, 12) if s <= max(shape[1:])]
    which = torch.randint(0, len(scales), (count,), generator=by)
    for number, scale in enumerate(scales):
        rows = torch.nonzero(which == number)[:, 0]
        coarse = (min(scale, shape[1]), min(scale, shape[2]))
        noise = torch.randn(len(rows), shape[0], *coarse, generator=by)
        if len(rows):
            found[rows] = nn.functional.interpolate(noise, size=shape[1:], mode="bilinear")
    contrast = torch.rand(count, 1, 1, 1, generator=by) * 8 + 0.5
    bright = torch.randn(count, 1, 1, 1, generator=by)
    values = torch.sigmoid(found * contrast + bright) * (high - low) + low
    return values.clamp_(low, high).view(count, *known.shape).numpy()


def generic(known: Public, pool: Floats) -> Recipe:
    """The network of an attacker who knows only the shape of the inputs."""
    mean, std = float(pool.mean()), float(pool.std()) or 1.0
    last = {"type": "linear", "name": "last", "features": known.classes}
    relu = {"type": "relu"}
    if len(known.shape) == 3 and min(known.shape[1:]) >= 8:
        halve = {"type": "max_pool2d", "size": 2}
        layers = (
            {"type": "conv2d", "name": "c1", "channels": 16, "kernel": 3, "padding": 1},
            relu, halve,
            {"type": "conv2d", "name": "c2", "channels": 32, "kernel": 3, "padding": 1},
            relu, halve, {"type": "flatten"},
            {"type": "linear", "name": "wide", "features": 64}, relu, last,
        )  # fmt: skip
    else:
        wide = {"type": "linear", "name": "wide", "features": 128}
        flat = ({"type": "flatten"},) if len(known.shape) > 1 else ()
        layers = (*flat, wide, relu, {**wide, "name": "second", "features": 64}, relu, last)
    return Recipe(layers, known.shape, mean, std)


def _paced(recipe: Recipe, rows: int, steps: int) -> Recipe:
    """The recipe for so many rows: few rows are seen more often."""
    epochs = steps * recipe.batch // max(1, rows)
    return replace(recipe, epochs=min(_MOST_EPOCHS, max(_LEAST_EPOCHS, epochs)))


def _predictor(clone: nn.Sequential) -> Any:
    def predict(inputs: Floats) -> Floats:
        found: Tensor = logits_of(clone, torch.from_numpy(np.asarray(inputs, dtype=np.float32)))
        return found.numpy()

    return predict
