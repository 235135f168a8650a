"""Square attack (Andriushchenko et al. 2020, arXiv 1912.00049): random squares, no gradient.

L-infinity. Each query moves one random square window, every channel to one side of the ball, and
keeps the move if the margin shrank. All images are asked together, each with a window of its own;
an image leaves as soon as it is misread. The share of the image that a window covers starts at
``p_init`` and halves on the paper's schedule; 0.8 rather than the paper's 0.05 is stronger on
small images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import Budget, Claim, Knowledge, Knows
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import stops

from .box import Box, seeded
from .evasion import Evasion, Reached, claims, question
from .view import observe, public

Scores = Callable[[Tensor], Tensor]
"""Inputs (rows, *shape) to scores (rows, classes), where higher means more likely. One query a
row."""

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries (the paper's schedule); scaled to the budget."""


def square(
    scores: Scores,
    inputs: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    queries: int = 500,
    p_init: float = 0.8,
    seed: int = 0,
    batch: int = 512,
) -> Reached:
    """Inputs of shape (rows, *shape), moved by at most ``epsilon``, misread if found.

    Inputs of one axis are treated as an image one pixel high. At most ``queries`` queries an image;
    where the target stops before, what was reached by then.
    """
    by = seeded(seed)
    found = [
        _search(scores, part, truth, epsilon, bounds, queries, p_init, by)
        for part, truth in zip(torch.split(inputs, batch), torch.split(labels, batch), strict=True)
    ]
    return Reached(*(torch.cat(part) for part in zip(*found, strict=True)))


def margin(scores: Tensor, labels: Tensor) -> Tensor:
    """By how much the right class leads the best other, one a row; below 0 is misread."""
    own = scores.gather(1, labels[:, None])
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.amax(1)


@torch.no_grad()
def _search(
    scores: Scores,
    inputs: Tensor,
    labels: Tensor,
    epsilon: float,
    bounds: tuple[float, float],
    queries: int,
    p_init: float,
    by: torch.Generator,
) -> tuple[Tensor, Tensor]:
    shape = inputs.shape
    images = inputs.reshape(len(inputs), *_image_shape(shape[1:]))
    reached = images.clone()
    gap = margin(scores(inputs), labels)
    spent = torch.ones(len(inputs), dtype=torch.long)
    active = torch.nonzero(gap >= 0)[:, 0]
    clean, labels = images[active], labels[active]
    box = Box.around(clean, epsilon, bounds)
    height, width = clean.shape[2:]
    best = _stripes(clean, epsilon, box, by)
    gap = torch.full((len(active),), torch.inf)
    trial = best
    for count in range(queries - 1):
        if not len(active):
            break
        try:
            found = margin(scores(trial.view(-1, *shape[1:])), labels)
        except ExposureRefused as error:
            if not stops(error):
                raise
            break
        spent[active] += 1
        better = found < gap
        best[better], gap[better] = trial[better], found[better]
        held = gap >= 0
        if not held.all():
            reached[active[~held]] = best[~held]
            active, labels, gap = active[held], labels[held], gap[held]
            best, box = best[held], box.rows(held)
        if len(active):
            side = _side(_share(p_init, count, queries), height, width)
            trial = _move(best, box, side, by)
    reached[active] = best
    return reached.view(shape), spent


def _stripes(clean: Tensor, epsilon: float, box: Box, by: torch.Generator) -> Tensor:
    """The paper's start: vertical stripes of +-epsilon."""
    rows, channels, _, width = clean.shape
    signs = torch.randint(0, 2, (rows, channels, 1, width), generator=by) * 2 - 1
    return box.project(clean + epsilon * signs)


def _move(best: Tensor, box: Box, side: tuple[int, int], by: torch.Generator) -> Tensor:
    """Each image with one window of that side set to the low or high bound, channel by channel."""
    rows, channels, height, width = best.shape
    inside = _span(rows, height, side[0], by)[:, :, None] & _span(rows, width, side[1], by)[:, None]
    up = torch.randint(0, 2, (rows, channels, 1, 1), generator=by, dtype=torch.bool)
    return torch.where(inside[:, None], torch.where(up, box.high, box.low), best)


def _span(rows: int, length: int, side: int, by: torch.Generator) -> Tensor:
    start = torch.randint(0, length - side + 1, (rows, 1), generator=by)
    at = torch.arange(length)
    return (at >= start) & (at < start + side)


def _share(p_init: float, count: int, queries: int) -> float:
    scaled = count * 10_000 // queries
    return float(p_init / 2 ** sum(scaled > mark for mark in _HALVINGS))


def _side(share: float, height: int, width: int) -> tuple[int, int]:
    if height == 1:
        return 1, max(1, min(width, round(share * width)))
    side = max(1, round((share * height * width) ** 0.5))
    return min(side, height), min(side, width)


def _image_shape(shape: torch.Size) -> tuple[int, ...]:
    return tuple(shape) if len(shape) == 3 else (1, 1, shape.numel())


class Square(Evasion):
    """Square attack on the scores that the rung shows.

    Args:
        queries: for each input, at most; fewer if the budget is smaller.
        p_init: share of the image that the first windows cover.
    """

    name = "evasion-square"
    goal = "Find inputs near real ones that the model misreads, by asking for scores"
    rungs = (Rung.TOP1, Rung.TOPK, Rung.LOGITS)
    knowledge = (Knows.NOTHING,)
    source = "Andriushchenko et al., Square attack, ECCV 2020"
    cost = "up to 500 queries an input"

    def __init__(self, *, queries: int = 500, p_init: float = 0.8) -> None:
        self.queries = queries
        self.p_init = p_init

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Perturb the records asked about; a claim at each point of the budget."""
        q, classes = question(knowledge), public(knowledge).classes
        found = square(
            lambda inputs: observe(target, inputs.numpy(), classes)[0], q.inputs, q.labels,
            epsilon=q.epsilon, bounds=q.bounds, p_init=self.p_init, seed=seed,
            queries=min(self.queries, budget.queries // max(1, len(q.labels))),
        )  # fmt: skip
        return claims(target, found, q.inputs, budget.points)
