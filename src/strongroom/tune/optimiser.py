"""The service's own AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), over one flat vector.

Nothing of it is the customer's: a large epsilon would turn it into plain gradient descent, whose
first step writes the hidden activation into B; here epsilon is fixed and small. The gradient is
clipped to length 1. The rate rises over the first twentieth of the steps and falls along a cosine
to a tenth. No weight decay: A would shrink towards zero while B is small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from strongroom.tune.policy import BETAS, CLIP, EPSILON

Pair = tuple[Tensor, Tensor]


class Flat:
    """Matrices as views of one vector, with their gradients, so that a step is five operations.

    ``pairs`` are leaves that take gradients; ``values``, ``first`` and ``second`` (the moments) are
    float32 of one length, in the order of the names.
    """

    def __init__(self, pairs: Mapping[str, Pair]) -> None:
        count = sum(matrix.numel() for pair in pairs.values() for matrix in pair)
        self.values, self.grads = torch.empty(count), torch.zeros(count)
        self.first, self.second = torch.zeros(count), torch.zeros(count)
        self.pairs: dict[str, Pair] = {}
        at = 0
        for name, pair in pairs.items():
            made = []
            for matrix in pair:
                stop = at + matrix.numel()
                leaf = self.values[at:stop].view(matrix.shape)
                leaf.copy_(matrix)
                leaf.requires_grad_(True)
                leaf.grad = self.grads[at:stop].view(matrix.shape)
                made.append(leaf)
                at = stop
            self.pairs[name] = (made[0], made[1])

    def state(self) -> dict[str, Tensor]:
        """What has to be kept to go on."""
        return {"values": self.values, "first": self.first, "second": self.second}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from ``state``."""
        for name, mine in self.state().items():
            mine.copy_(state[name])


def rate_at(step: int, steps: int, rate: float) -> float:
    """The rate of step ``step``, counted from 0, of ``steps``."""
    rise = max(1, steps // 20)
    if step < rise:
        return rate * (step + 1) / rise
    return rate * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))))


@torch.no_grad()
def adamw(flat: Flat, step: int, rate: float) -> float:
    """Step ``step`` (from 0) along ``flat.grads``, which become zero; gives their length before."""
    length = float(torch.linalg.vector_norm(flat.grads))
    if length > CLIP:
        flat.grads.mul_(CLIP / length)
    flat.first.lerp_(flat.grads, 1 - BETAS[0])
    flat.second.mul_(BETAS[1]).addcmul_(flat.grads, flat.grads, value=1 - BETAS[1])
    grown = 1 - BETAS[1] ** (step + 1)
    size = flat.second.div(grown).sqrt_().add_(EPSILON)
    flat.values.addcdiv_(flat.first, size, value=-rate / (1 - BETAS[0] ** (step + 1)))
    flat.grads.zero_()
    return length
