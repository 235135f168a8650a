"""The width of the last hidden layer, from the rank of logits (Carlini et al. 2024, arXiv
2403.06634).

Logits are an affine map of the last hidden layer: centred over inputs, a matrix of them has no
more rank than the layer has units. What lies above the noise is counted, and noise is not guessed
from the largest gap but reckoned from how finely the answers are written: float32, bf16, or
decimals. Where there are no more classes than units the rank is that of the classes, and only a
lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strongroom.exposure.interface import Attack, Budget, Claim, Facts, Family, Knowledge, Knows
from strongroom.exposure.ladder import Rung

from .cloning import query_pool
from .view import observe, public

_MANTISSAS = {"bf16": 8, "f16": 11, "f32": 24}
_ACCUMULATION = 8.0
"""Sums of products lose a few units in the last place more than the rounding of their result."""

_MARGIN = 1.5
"""Errors of answers to neighbouring inputs are not quite independent."""


@dataclass(frozen=True, slots=True)
class Rank:
    """``rank`` singular values lie above ``floor``; ``full`` if all do, so that it is a bound."""

    rank: int
    full: bool
    floor: float
    singular: Tensor


def rank_above_noise(logits: Tensor) -> Rank:
    """The rank of logits (queries, classes), more queries than classes.

    Raises:
        ValueError: there are not more queries than classes, or a value is not finite.
    """
    rows, classes = logits.shape
    if rows <= classes:
        raise ValueError(f"{rows} queries cannot tell the rank of {classes} classes")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("logits must be finite")
    rows = len(distinct := torch.unique(logits, dim=0))  # what is the same has the same error
    exact = distinct.double()
    singular = torch.linalg.svdvals(exact - exact.mean(0))
    # The largest singular value of a noise matrix (rows, classes) of standard deviation s is
    # about s (sqrt(rows) + sqrt(classes)) (Davidson and Szarek 2001), where errors are independent.
    floor = _MARGIN * noise(logits) * (rows**0.5 + classes**0.5)
    rank = int((singular > floor).sum())
    return Rank(rank, rank >= min(classes, rows - 1), floor, singular)


def noise(logits: Tensor) -> float:
    """Standard deviation of the error with which logits are written."""
    values = logits.double()
    for decimals in range(5):
        rounded = (values * 10**decimals).round() / 10**decimals
        if bool((rounded.to(logits.dtype) == logits).all()):
            return 10.0**-decimals / 12**0.5
    bits = next(b for name, b in _MANTISSAS.items() if name == "f32" or _fits(logits, name))
    scale = values.square().mean().sqrt().item()
    accumulated = _ACCUMULATION if bits == _MANTISSAS["f32"] else 1.0
    return accumulated * scale * 2.0**-bits


class HiddenSize(Attack):
    """Ask for more logits than there are classes and count the singular values above the noise.

    Args:
        queries: at most; twice the number of classes is enough.
    """

    name = "hidden-size"
    family = Family.REVERSE
    goal = "Find the width of the model's last hidden layer"
    rungs = (Rung.LOGITS,)
    knowledge = (Knows.NOTHING, Knows.DATA)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-ML:ML05:2023")
    source = "Carlini et al., Stealing part of a production language model, ICML 2024"
    cost = "twice as many queries as there are classes"

    def __init__(self, *, queries: int = 4096) -> None:
        self.queries = queries

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claim ``hidden_size`` and whether it is ``exact`` or a lower bound."""
        known = public(knowledge)
        most = min(self.queries, max(64, 2 * known.classes))
        pool = query_pool(knowledge, known, most, budget.queries, seed)
        seen, _ = observe(target, np.ascontiguousarray(pool), known.classes)
        found = rank_above_noise(seen)
        facts = {"hidden_size": found.rank, "exact": not found.full, "noise_floor": found.floor}
        return [Facts(target.spent().queries, facts)]


def _fits(logits: Tensor, name: str) -> bool:
    kind = {"bf16": torch.bfloat16, "f16": torch.float16}[name]
    return bool((logits.to(kind).to(logits.dtype) == logits).all())
