"""Projected gradient descent (Madry et al. 2018, arXiv 1706.06083), stopping early image by image.

The plain attack walks every image for every step. Here each forward pass does two things, judging
the point that the last step reached and giving the next gradient, and an image leaves the batch as
soon as it is misread. The images that remain are the hard ones, so the work is that of the plain
attack's hard part.

Steps shrink from epsilon to nothing instead of all being alike: the first ones cross the ball, so
that images which can be misread leave at once, the last ones settle on an edge of the box instead
of jumping over it. It is as strong as equal steps or stronger (``docs/performance.md``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from strongroom.exposure.interface import Budget, Claim, Knowledge, Knows
from strongroom.exposure.ladder import Rung

from .box import Box, seeded
from .evasion import Evasion, claim, own_model, question

Network = Callable[[Tensor], Tensor]
"""Inputs (rows, *shape) to logits (rows, classes), differentiable."""


def quick(network: Network, inputs: Tensor) -> Network:
    """``network`` as the walks ask it: a frozen copy, for images with its channels last.

    Convolutions and poolings are then up to half as fast again on a processor; sums are added in
    another order, so that logits differ in their last bits. A function that is no module stays.
    """
    if not isinstance(network, nn.Module):
        return network
    own = copy.deepcopy(network).requires_grad_(False)
    if inputs.ndim == 4:
        own.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return own


def pgd(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    steps: int = 40,
    step_size: float | None = None,
    seed: int = 0,
    batch: int = 512,
) -> Tensor:
    """Inputs of shape (rows, *shape), moved by at most ``epsilon`` (L-infinity), misread if found.

    An image that the attack does not break comes back as the last point tried.

    Args:
        step_size: of every step, in the inputs' own range; left out, steps shrink evenly from
            ``epsilon``.
    """
    sizes = [step_size or epsilon * (1 - count / steps) for count in range(steps)]
    by, asked = seeded(seed), quick(network, inputs)
    found = [
        _walk(asked, part, truth, Box.around(part, epsilon, bounds), sizes, by)
        for part, truth in zip(torch.split(inputs, batch), torch.split(labels, batch), strict=True)
    ]
    return torch.cat(found)


def _walk(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    box: Box,
    sizes: Sequence[float],
    by: torch.Generator,
) -> Tensor:
    reached = inputs.clone()
    with torch.no_grad():
        active = torch.nonzero(network(inputs).argmax(1) == labels)[:, 0]
    box, labels = box.rows(active), labels[active]
    points = box.draw(by)
    for size in sizes:
        if not len(active):
            return reached
        points.requires_grad_(True)
        logits = network(points)
        held = logits.detach().argmax(1) == labels
        gradient = _gradient(logits, labels, points)
        points = points.detach()
        if not held.all():
            reached[active[~held]] = points[~held]
            active, labels, box = active[held], labels[held], box.rows(held)
            points, gradient = points[held], gradient[held]
        points = box.project(points.add_(gradient.sign(), alpha=size))
    reached[active] = points
    return reached


def _gradient(logits: Tensor, labels: Tensor, points: Tensor) -> Tensor:
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, points)
    return gradient


class Pgd(Evasion):
    """Projected gradient descent on a copy of the weights.

    Args:
        steps: gradient steps.
    """

    name = "evasion-pgd"
    goal = "Find inputs near real ones that the model misreads, with its gradients"
    rungs = (Rung.WEIGHTS,)
    knowledge = (Knows.NOTHING,)
    source = (
        "Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018"
    )
    cost = "one forward and backward pass a step for each input that still holds"

    def __init__(self, *, steps: int = 40) -> None:
        self.steps = steps

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Perturb the records asked about."""
        q = question(knowledge)
        found = pgd(
            own_model(target), q.inputs, q.labels,
            epsilon=q.epsilon, bounds=q.bounds, steps=self.steps, seed=seed,
        )  # fmt: skip
        return [claim(target, found)]
