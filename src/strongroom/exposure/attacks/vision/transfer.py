"""Transfer: adversarial inputs made on a clone or a student, tried on the target (Papernot
2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from strongroom.exposure.interface import Budget, Claim, Inputs, Knowledge, Knows
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.interface import StudentTarget

from .box import Box
from .cloning import grow
from .evasion import Evasion, Question, question

_MOMENTUM = 1.0


class Transfer(Evasion):
    """Clone the target within the budget, then walk the clone's gradients.

    Args:
        steps: gradient steps.
        cloning_steps: training steps of each clone, about.
    """

    name = "evasion-transfer"
    goal = "Find inputs that the model misreads on a copy of it, without asking it about them"
    rungs = (Rung.LABEL, Rung.TOP1, Rung.TOPK, Rung.LOGITS, Rung.STUDENT)
    knowledge = (Knows.NOTHING, Knows.DATA, Knows.RECIPE)
    source = "Papernot et al., Practical black-box attacks against machine learning, 2017"
    cost = "the queries of the clone; none for the inputs"

    def __init__(self, *, steps: int = 40, cloning_steps: int = 1500) -> None:
        self.steps = steps
        self.cloning_steps = cloning_steps

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Perturb the records asked about, once for each clone."""
        q = question(knowledge)
        claims = []
        for model, spent in self._copies(target, knowledge, budget, seed):
            found = deepest(model, q, self.steps)
            claims.append(Inputs(spent, found.numpy()))
        return claims

    def _copies(
        self, target: Any, knowledge: Knowledge, budget: Budget, seed: int
    ) -> list[tuple[nn.Module, int]]:
        if isinstance(target, StudentTarget):
            return [(target.student().eval().requires_grad_(False), 0)]
        return [*grow(target, knowledge, budget, seed, self.cloning_steps)]


def deepest(model: nn.Module, q: Question, steps: int) -> Tensor:
    """Inputs far past the model's boundary, not just past it: those are what another misreads too.

    Iterated gradient signs with momentum (Dong et al. 2018, arXiv 1710.06081); no early stop.
    """
    box = Box.around(q.inputs, q.epsilon, q.bounds)
    points, pull = q.inputs.clone(), torch.zeros_like(q.inputs)
    for _ in range(steps):
        points.requires_grad_(True)
        loss = functional.cross_entropy(model(points), q.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, points)
        mean = gradient.abs().flatten(1).mean(1).clamp_min(1e-12)
        pull = _MOMENTUM * pull + gradient / mean.view(-1, *[1] * (gradient.ndim - 1))
        points = box.project(points.detach() + 2.5 * q.epsilon / steps * pull.sign())
    return points
