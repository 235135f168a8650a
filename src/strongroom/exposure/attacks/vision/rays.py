"""RayS (Chen and Gu 2020, arXiv 2006.12792): the nearest boundary along rays of signs, labels only.

The direction of an L-infinity perturbation is a vector of signs. Starting from all ones, the
signs of ever smaller blocks are flipped; a flip is kept if the input is still misread at the
radius reached so far (one query), and the radius along the new direction is then found by
bisection.

1. block level k = 0: one block; flip it;
2. misread at the present radius? Bisect to the boundary and keep the flip; otherwise undo it;
3. next block; after 2^k blocks, twice as many of half the size.

An image leaves when its radius falls to ``epsilon``.
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

from .evasion import Evasion, Reached, asking, claims, question

Labels = Callable[[Tensor], Tensor]
"""Inputs (rows, *shape) to labels (rows,). One query a row."""

_TOLERANCE = 1e-3
"""Bisection stops at this share of the data's range."""


def rays(
    labels_of: Labels,
    inputs: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    queries: int = 500,
    batch: int = 512,
) -> Reached:
    """Inputs of shape (rows, *shape), moved by at most ``epsilon``, misread if found.

    At most ``queries`` queries an image, and no randomness. Images that hold come back unmoved, and
    so do those that were open when the target stopped.
    """
    found = [
        _Search(labels_of, part, truth, epsilon, bounds, queries).run()
        for part, truth in zip(torch.split(inputs, batch), torch.split(labels, batch), strict=True)
    ]
    return Reached(*(torch.cat(part) for part in zip(*found, strict=True)))


class _Search:
    """The state of one batch; ``spent`` counts queries image by image."""

    def __init__(
        self,
        labels_of: Labels,
        inputs: Tensor,
        labels: Tensor,
        epsilon: float,
        bounds: tuple[float, float],
        queries: int,
    ) -> None:
        self.labels_of, self.inputs, self.labels = labels_of, inputs, labels
        self.epsilon, self.bounds, self.queries = epsilon, bounds, queries
        self.signs = torch.ones_like(inputs.flatten(1))
        self.radius = torch.full((len(inputs),), float(bounds[1] - bounds[0]))
        self.spent = torch.zeros(len(inputs), dtype=torch.long)

    @torch.no_grad()
    def run(self) -> tuple[Tensor, Tensor]:
        everyone = torch.arange(len(self.inputs))
        self.radius[self._misread(everyone, torch.zeros(len(everyone)))] = 0
        self._shorten(self._open())
        level, block, size = 0, 0, self.signs.shape[1]
        while len(rows := self._open()):
            width = -(-size // 2**level)
            try:
                self._flip(rows, slice(block * width, (block + 1) * width))
            except ExposureRefused as error:
                if not stops(error):
                    raise
                break  # only rows that are still open were being moved
            block += 1
            if block * width >= size:
                level, block = (level + 1 if width > 1 else 0), 0
        moved = self._points(everyone, self.radius)
        done = self.radius <= self.epsilon
        done = done.view(-1, *[1] * (self.inputs.ndim - 1))
        return torch.where(done, moved, self.inputs), self.spent

    def _open(self) -> Tensor:
        return torch.nonzero((self.radius > self.epsilon) & (self.spent < self.queries))[:, 0]

    def _flip(self, rows: Tensor, block: slice) -> None:
        self.signs[rows, block] *= -1
        self.signs[self._shorten(rows), block] *= -1

    def _shorten(self, rows: Tensor) -> Tensor:
        """Bisect where the present radius misleads; the rows where it does not."""
        misread = self._misread(rows, self.radius[rows])
        self._bisect(rows[misread])
        return rows[~misread]

    def _bisect(self, rows: Tensor) -> None:
        low, high = torch.zeros(len(rows)), self.radius[rows].clone()
        enough = _TOLERANCE * (self.bounds[1] - self.bounds[0])
        while len(rows):
            live = (high - low > enough) & (high > self.epsilon) & (self.spent[rows] < self.queries)
            self.radius[rows[~live]] = high[~live]
            rows, low, high = rows[live], low[live], high[live]
            if not len(rows):
                return
            middle = (low + high) / 2
            misread = self._misread(rows, middle)
            low, high = torch.where(misread, low, middle), torch.where(misread, middle, high)

    def _misread(self, rows: Tensor, radius: Tensor) -> Tensor:
        if not len(rows):
            return torch.zeros(0, dtype=torch.bool)
        self.spent[rows] += 1
        return self.labels_of(self._points(rows, radius)) != self.labels[rows]

    def _points(self, rows: Tensor, radius: Tensor) -> Tensor:
        moved = self.inputs[rows].flatten(1) + radius[:, None] * self.signs[rows]
        return moved.clamp_(*self.bounds).view(-1, *self.inputs.shape[1:])


class Rays(Evasion):
    """Ray search on labels.

    Args:
        queries: for each input, at most; fewer if the budget is smaller.
    """

    name = "evasion-label"
    goal = "Find inputs near real ones that the model misreads, by asking for labels"
    rungs = (Rung.LABEL,)
    knowledge = (Knows.NOTHING,)
    source = "Chen and Gu, RayS: a ray searching method for hard-label attack, KDD 2020"
    cost = "up to 500 queries an input"

    def __init__(self, *, queries: int = 500) -> None:
        self.queries = queries

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Perturb the records asked about; a claim at each point of the budget."""
        q = question(knowledge)
        found = rays(
            asking(target.labels), q.inputs, q.labels, epsilon=q.epsilon, bounds=q.bounds,
            queries=min(self.queries, budget.queries // max(1, len(q.labels))),
        )  # fmt: skip
        return claims(target, found, q.inputs, budget.points)
