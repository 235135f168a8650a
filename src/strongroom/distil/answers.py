"""The teacher's answers: asked through a target that counts, kept in memory only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.distil.plan import Plan
from strongroom.exposure.attacks.vision.recipe import logits_of
from strongroom.exposure.interface import Floats

_BATCH = 256

Answering = Callable[[Tensor], Tensor]
"""Inputs (rows, *shape) to what a student learns: classes (rows,), or distributions."""


def questions(corpus: Floats, plan: Plan, bounds: tuple[float, float]) -> Floats:
    """``plan.queries`` inputs: the corpus, and beyond it blends of two of its records with a little
    noise, which lie where the records do."""
    if plan.queries <= len(corpus):
        return corpus[: plan.queries]
    chance = np.random.default_rng(plan.seed + 1)
    more = plan.queries - len(corpus)
    one, two = (corpus[chance.integers(0, len(corpus), more)] for _ in range(2))
    share = chance.uniform(0, 0.5, (more, *[1] * (corpus.ndim - 1)))
    spread = (bounds[1] - bounds[0]) / 16 * chance.standard_normal(one.shape)
    made = np.clip((1 - share) * one + share * two + spread, *bounds)
    return np.concatenate([corpus, made.astype(np.float32)])


def asked(target: Any, inputs: Floats, plan: Plan) -> Tensor:
    """What the target says of ``inputs``, as a student learns it.

    Raises:
        ExposureRefused: ``exposure.budget_spent``.
    """
    parts = [inputs[at : at + _BATCH] for at in range(0, len(inputs), _BATCH)]
    if plan.answers != "logits":
        return torch.from_numpy(np.concatenate([target.labels(part) for part in parts]))
    logits = torch.from_numpy(np.concatenate([target.logits(part) for part in parts]))
    return torch.softmax(logits / plan.temperature, 1)


def of_network(network: nn.Module, plan: Plan) -> Answering:
    """The same of a network in hand: how an attacker asks teachers of his own."""

    def answer(inputs: Tensor) -> Tensor:
        logits = logits_of(network, inputs)
        if plan.answers != "logits":
            return logits.argmax(1)
        return torch.softmax(logits / plan.temperature, 1)

    return answer
