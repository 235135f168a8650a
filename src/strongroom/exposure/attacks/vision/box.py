"""The ball an adversarial input must stay in: L-infinity around the clean input, within the data.

Rows are inputs: every function takes tensors of shape (rows, *input_shape), and gives the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Box:
    """Lower and upper bound of each value of each input."""

    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, inputs: Tensor, epsilon: float, bounds: tuple[float, float]) -> Box:
        """All points at most ``epsilon`` from ``inputs`` and inside ``bounds``."""
        low, high = bounds
        return cls((inputs - epsilon).clamp_(min=low), (inputs + epsilon).clamp_(max=high))

    def rows(self, chosen: Tensor) -> Box:
        """The bounds of some rows: indices or a mask."""
        return Box(self.low[chosen], self.high[chosen])

    def project(self, points: Tensor) -> Tensor:
        """The nearest point inside, in place of ``points``."""
        return torch.minimum(torch.maximum(points, self.low, out=points), self.high, out=points)

    def draw(self, by: torch.Generator) -> Tensor:
        """A point of each ball, drawn evenly."""
        share = torch.rand(self.low.shape, generator=by, dtype=self.low.dtype)
        return share.mul_(self.high - self.low).add_(self.low)


def seeded(seed: int) -> torch.Generator:
    """A generator of its own, so that no attack disturbs another's random numbers."""
    return torch.Generator().manual_seed(seed)
