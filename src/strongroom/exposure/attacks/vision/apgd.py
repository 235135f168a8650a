"""Auto-PGD (Croce and Hein 2020, arXiv 2003.01690): steps that halve when progress stalls.

The paper's algorithm 1, L-infinity, with the cross-entropy or the DLR loss (difference of logits
ratio, invariant to the scale of the logits, so masked gradients do not stop it):

1. start at a point drawn from the ball; step size 2 epsilon;
2. step with momentum: z = P(x + eta * sign(grad)); x' = P(x + 0.75 (z - x) + 0.25 (x - x_before));
3. keep the point of highest loss;
4. at checkpoints (after 22 % of the steps, then at intervals shorter by 3 % each time, 6 % at
   least), image by image: if fewer than 75 % of the steps since raised the loss, or neither step
   size nor best loss changed since the last checkpoint, halve the step and go on from the best
   point.

As in ``pgd``, an image leaves as soon as it is misread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from strongroom.exposure.interface import Budget, Claim, Knowledge, Knows
from strongroom.exposure.ladder import Rung

from .box import Box, seeded
from .evasion import Evasion, claim, own_model, question
from .pgd import Network, quick
from .recipe import logits_of
from .view import public

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (rows, classes) and labels (rows,) to one loss a row; the attack raises it."""

_MOMENTUM = 0.75
_PROGRESS = 0.75


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The usual loss, one a row."""
    return functional.cross_entropy(logits, labels, reduction="none")


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio: -(z_y - max other) / (z_1st - z_3rd). Needs three classes.

    Raises:
        ValueError: there are fewer than three classes.
    """
    if logits.shape[1] < 3:
        raise ValueError("the DLR loss divides by the third largest logit: three classes at least")
    ranked, order = logits.sort(dim=1, descending=True)
    own = logits.gather(1, labels[:, None])[:, 0]
    other = torch.where(order[:, 0] == labels, ranked[:, 1], ranked[:, 0])
    return -(own - other) / (ranked[:, 0] - ranked[:, 2] + 1e-12)


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "dlr": dlr}


@dataclass
class _State:
    """One row an image that still holds."""

    row: Tensor
    label: Tensor
    low: Tensor
    high: Tensor
    point: Tensor
    before: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    step: Tensor
    raised: Tensor
    loss_at_check: Tensor
    halved_at_check: Tensor

    def keep(self, held: Tensor) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name)[held])


def apgd(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    loss: str = "ce",
    steps: int = 40,
    seed: int = 0,
    batch: int = 512,
) -> Tensor:
    """Inputs of shape (rows, *shape), moved by at most ``epsilon`` (L-infinity), misread if found.

    Raises:
        KeyError: ``loss`` is neither ``ce`` nor ``dlr``.
    """
    by, function, asked = seeded(seed), LOSSES[loss], quick(network, inputs)
    found = [
        _walk(asked, part, truth, Box.around(part, epsilon, bounds), epsilon, steps, function, by)
        for part, truth in zip(torch.split(inputs, batch), torch.split(labels, batch), strict=True)
    ]
    return torch.cat(found)


def _walk(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    box: Box,
    epsilon: float,
    steps: int,
    loss: Loss,
    by: torch.Generator,
) -> Tensor:
    reached = inputs.clone()
    with torch.no_grad():
        right = torch.nonzero(network(inputs).argmax(1) == labels)[:, 0]
    state = _start(right, labels[right], box.rows(right), 2 * epsilon, by)
    check = _checkpoints(steps)
    next_check, since = next(check), 0
    for count in range(steps + 1):
        if not len(state.row):
            return reached
        _look(network, loss, state, reached, first=count == 0)
        if count == steps or not len(state.row):
            break
        since += 1
        if count + 1 == next_check:
            _halve_where_stalled(state, since)
            next_check, since = next(check), 0
        _step(state, first=count == 0)
    reached[state.row] = state.best
    return reached


def _start(rows: Tensor, labels: Tensor, box: Box, step: float, by: torch.Generator) -> _State:
    point = box.draw(by)
    lowest = torch.full((len(rows),), -torch.inf)
    return _State(
        row=rows, label=labels, low=box.low, high=box.high, point=point, before=point,
        gradient=point, loss=lowest, best=point, best_gradient=point, best_loss=lowest,
        step=torch.full((len(rows),), step), raised=torch.zeros(len(rows)),
        loss_at_check=lowest, halved_at_check=torch.ones(len(rows), dtype=torch.bool),
    )  # fmt: skip


def _look(network: Network, loss: Loss, state: _State, reached: Tensor, *, first: bool) -> None:
    """Judge the points, let the misread ones go, remember gradients and the best points."""
    point = state.point.detach().requires_grad_(True)
    logits = network(point)
    held = logits.detach().argmax(1) == state.label
    losses = loss(logits, state.label)
    (gradient,) = torch.autograd.grad(losses.sum(), point)
    state.point, state.gradient, losses = point.detach(), gradient, losses.detach()
    state.raised = state.raised + (losses > state.loss) * (not first)
    state.loss = losses
    if not held.all():
        reached[state.row[~held]] = state.point[~held]
        state.keep(held)
    better = state.loss > state.best_loss
    spread = _wide(better, state.point)
    state.best = torch.where(spread, state.point, state.best)
    state.best_gradient = torch.where(spread, state.gradient, state.best_gradient)
    state.best_loss = torch.where(better, state.loss, state.best_loss)


def _step(state: _State, *, first: bool) -> None:
    box = Box(state.low, state.high)
    ahead = box.project(state.point + _wide(state.step, state.point) * state.gradient.sign())
    if not first:
        ahead = state.point + _MOMENTUM * (ahead - state.point)
        ahead = box.project(ahead + (1 - _MOMENTUM) * (state.point - state.before))
    state.before, state.point = state.point, ahead


def _halve_where_stalled(state: _State, since: int) -> None:
    slow = state.raised < _PROGRESS * since
    stuck = ~state.halved_at_check & (state.loss_at_check >= state.best_loss)
    halve = slow | stuck
    spread = _wide(halve, state.point)
    state.step = torch.where(halve, state.step / 2, state.step)
    state.point = torch.where(spread, state.best, state.point)
    state.gradient = torch.where(spread, state.best_gradient, state.gradient)
    state.loss = torch.where(halve, state.best_loss, state.loss)
    state.halved_at_check, state.loss_at_check = halve, state.best_loss
    state.raised = torch.zeros_like(state.raised)


def _checkpoints(steps: int) -> Iterator[int]:
    interval, least, shrink = (max(1, int(share * steps)) for share in (0.22, 0.06, 0.03))
    at = interval
    while True:
        yield at
        interval = max(interval - shrink, least)
        at += interval


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """One value a row, shaped to multiply ``like``."""
    return values.view(-1, *[1] * (like.ndim - 1))


class Apgd(Evasion):
    """Auto-PGD on a copy of the weights: with cross-entropy, then DLR on what still holds.

    Args:
        steps: gradient steps with each loss.
    """

    name = "evasion-apgd"
    goal = "Find inputs near real ones that the model misreads, even past masked gradients"
    rungs = (Rung.WEIGHTS,)
    knowledge = (Knows.NOTHING,)
    source = "Croce and Hein, Reliable evaluation of adversarial robustness, ICML 2020"
    cost = "two forward and backward passes a step for each input that still holds"

    def __init__(self, *, steps: int = 40) -> None:
        self.steps = steps

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Perturb the records asked about."""
        q, model = question(knowledge), own_model(target)
        found = q.inputs.clone()
        for loss in ("ce", "dlr")[: 2 if public(knowledge).classes > 2 else 1]:
            held = logits_of(model, found).argmax(1) == q.labels
            if held.any():
                found[held] = apgd(
                    model, q.inputs[held], q.labels[held],
                    epsilon=q.epsilon, bounds=q.bounds, loss=loss, steps=self.steps, seed=seed,
                )  # fmt: skip
        return [claim(target, found)]
