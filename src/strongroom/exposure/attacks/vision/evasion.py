"""What the evasion attacks share: the question asked, and numpy at the door of the torch code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.exposure.interface import Attack, Family, Floats, Inputs, Knowledge
from strongroom.exposure.reasons import refuse

from .view import public


@dataclass(frozen=True, slots=True)
class Question:
    """Records to perturb: inputs (rows, *shape), labels (rows,), and how far."""

    inputs: Tensor
    labels: Tensor
    epsilon: float
    bounds: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a search by queries ended: ``inputs``, and the ``queries`` that each one took."""

    inputs: Tensor
    queries: Tensor

    def after(self, queries: int, clean: Tensor) -> Tensor:
        """What it would have reached with so many queries an input."""
        done = self.queries <= queries
        return torch.where(done.view(-1, *[1] * (clean.ndim - 1)), self.inputs, clean)


class Evasion(Attack):
    """What evasion attacks have in common."""

    family: ClassVar[Family] = Family.EVASION
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0043", "ATLAS:AML.T0015", "OWASP-ML:ML01:2023")


def question(knowledge: Knowledge) -> Question:
    """The records asked about and ``epsilon``.

    Raises:
        ExposureRefused: ``exposure.knowledge_lacking``.
    """
    if "epsilon" not in knowledge.public:
        raise refuse("exposure.knowledge_lacking", what="epsilon, how far an input may be moved")
    asked = knowledge.asked
    return Question(
        torch.from_numpy(asked.inputs),
        torch.from_numpy(asked.labels),
        float(knowledge.public["epsilon"]),
        public(knowledge).bounds,
    )


def own_model(target: Any) -> nn.Module:
    """The attacker's copy of the weights, its parameters frozen: only inputs are moved."""
    model: nn.Module = target.model()
    return model.eval().requires_grad_(False)


def claim(target: Any, found: Tensor, spent: int | None = None) -> Inputs:
    """The perturbed inputs as a claim."""
    return Inputs(target.spent().queries if spent is None else spent, found.detach().numpy())


def claims(target: Any, found: Reached, clean: Tensor, points: Sequence[int]) -> list[Inputs]:
    """A claim for each of ``points`` queries in all, spread evenly, that is less than was spent."""
    spent, rows = target.spent().queries, max(1, len(clean))
    each = sorted({point // rows for point in points if rows <= point < spent})
    curve = [claim(target, found.after(count, clean), count * rows) for count in each]
    return [*curve, claim(target, found.inputs)]


def asking(answer: Callable[[Floats], Any]) -> Callable[[Tensor], Tensor]:
    """A target's method that takes and gives arrays, as a function of tensors."""

    def ask(inputs: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(answer(inputs.numpy())))

    return ask
