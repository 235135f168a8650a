"""Inversion: an input that the model takes for a class (Fredrikson et al. 2015), and what it shows.

From the mean of what the attacker has (or mid-grey) the class's log-odds are climbed, held back
by a smoothness prior. With weights or a gradient oracle the slope is exact; with scores it is
estimated from pairs of queries in random directions of low frequency (natural evolution
strategies).

What a class looks like is no secret by itself, and a mean image is recognised too: the judge
subtracts what the same evaluator makes of the start, and compares distances to records in and out
of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Reconstructions,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse, stops
from strongroom.exposure.targets.interface import GradientsTarget, WeightsTarget

from .box import seeded
from .likelihood import scaled
from .view import Public, observe, public

Slope = Callable[[Tensor], Tensor]
"""Points (classes, *shape) to the slope of each one's log-odds of its class."""

_SMOOTH = 0.05
_COARSE = 7


class Inversion(Attack):
    """Climb the log-odds of each class.

    Args:
        steps: of the climb, where gradients are exact.
        directions: random directions a step, two queries each, where they are estimated.
    """

    name = "inversion-class"
    family = Family.INVERSION
    goal = "Reconstruct what the training data of a class look like"
    rungs = (Rung.TOPK, Rung.LOGITS, Rung.GRADIENTS, Rung.WEIGHTS)
    knowledge = (Knows.NOTHING, Knows.DATA)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.001", "OWASP-ML:ML03:2023")
    source = "Fredrikson et al., Model inversion attacks that exploit confidence, CCS 2015"
    cost = "about 100 gradients, or some thousand queries, a class"

    def __init__(self, *, steps: int = 100, directions: int = 20) -> None:
        self.steps = steps
        self.directions = directions

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """One input for each class asked about; every class where ``asked`` is None."""
        known = public(knowledge)
        asked = range(known.classes) if knowledge.asked is None else knowledge.asked
        classes = torch.as_tensor(np.asarray(asked), dtype=torch.long)
        slope, each = self._slope(target, classes, known, seed)
        steps = min(self.steps, budget.queries // (each * len(classes))) if each else self.steps
        if steps < 1:
            raise refuse("exposure.knowledge_lacking", what="a budget for one step of the climb")
        found = climb(slope, start(knowledge, known, len(classes)), known.bounds, steps)
        return [Reconstructions(target.spent().queries, found.numpy())]

    def _slope(self, target: Any, classes: Tensor, known: Public, seed: int) -> tuple[Slope, int]:
        """The slope, and its queries for each class."""
        if isinstance(target, WeightsTarget):
            return exact_slope(target.model(), classes), 0
        if isinstance(target, GradientsTarget):
            labels = classes.numpy()
            return lambda at: -torch.from_numpy(target.input_gradients(at.numpy(), labels)), 1

        def odds(inputs: Tensor, rows: Tensor) -> Tensor:
            seen, view = observe(target, inputs.numpy(), known.classes)
            return view.confidence(seen, rows)

        by = seeded(seed)
        return estimated_slope(odds, classes, known, self.directions, by), 2 * self.directions


def start(knowledge: Knowledge, known: Public, count: int) -> Tensor:
    """The model-free null: the mean of the attacker's data, or mid-grey, (count, *shape)."""
    if knowledge.data is not None and knowledge.level is not Knows.NOTHING:
        one = torch.from_numpy(knowledge.data.inputs.mean(0)).float()
    else:
        one = torch.full(known.shape, sum(known.bounds) / 2)
    return one.expand(count, *known.shape).clone()


def climb(slope: Slope, points: Tensor, bounds: tuple[float, float], steps: int) -> Tensor:
    """Adam on the log-odds less the prior; ``points`` (classes, *shape) stay in ``bounds``.

    Where the target stops after a step or more, the point reached.
    """
    low, high = bounds
    at = ((points - low) / (high - low)).requires_grad_(True)
    optimizer = torch.optim.Adam([at], lr=0.05)
    for step in range(steps):
        try:
            rise = slope((at.detach() * (high - low) + low).contiguous()) * (high - low)
        except ExposureRefused as error:
            if step == 0 or not stops(error):
                raise
            break
        norm = rise.flatten(1).norm(dim=1).clamp_min(1e-12)
        (rough,) = torch.autograd.grad(_SMOOTH * roughness(at).sum(), at)
        at.grad = rough - rise / norm.view(-1, *[1] * (at.ndim - 1))
        optimizer.step()
        at.data.clamp_(0, 1)
    return (at.detach() * (high - low) + low).contiguous()


def roughness(images: Tensor) -> Tensor:
    """Total variation of each image (rows, channels, h, w), or distance from mid-grey of a row."""
    if images.ndim != 4:
        return (images - 0.5).square().flatten(1).sum(1)
    down = (images[:, :, 1:] - images[:, :, :-1]).square().flatten(1).sum(1)
    across = (images[:, :, :, 1:] - images[:, :, :, :-1]).square().flatten(1).sum(1)
    return down + across


def exact_slope(model: nn.Module, classes: Tensor) -> Slope:
    """From a copy of the weights."""
    model = model.eval().requires_grad_(False)

    def slope(at: Tensor) -> Tensor:
        at = at.requires_grad_(True)
        with torch.enable_grad():
            (found,) = torch.autograd.grad(scaled(model(at), classes).sum(), at)
        return found

    return slope


def estimated_slope(
    odds: Callable[[Tensor, Tensor], Tensor],
    classes: Tensor,
    known: Public,
    directions: int,
    by: torch.Generator,
) -> Slope:
    """From differences of log-odds along smooth random directions."""
    width = 0.1 * (known.bounds[1] - known.bounds[0])

    def slope(at: Tensor) -> Tensor:
        ways = _smooth(directions * len(classes), known.shape, by)
        ahead = ways.view(directions, len(classes), *known.shape) * width
        both = torch.cat([at + ahead, at - ahead]).clamp(*known.bounds)
        asked = both.flatten(0, 1).contiguous()
        found = odds(asked, classes.repeat(2 * directions)).view(2, directions, len(classes))
        rise = (found[0] - found[1]).view(directions, len(classes), *[1] * len(known.shape))
        return (rise * ahead).mean(0)

    return slope


def _smooth(count: int, shape: tuple[int, ...], by: torch.Generator) -> Tensor:
    if len(shape) != 3 or min(shape[1:]) <= _COARSE:
        return torch.randn(count, *shape, generator=by)
    noise = torch.randn(count, shape[0], _COARSE, _COARSE, generator=by)
    return functional.interpolate(noise, size=shape[1:], mode="bilinear")
