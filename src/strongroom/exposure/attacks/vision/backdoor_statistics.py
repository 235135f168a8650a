"""Three statistics of a classifier that a backdoor disturbs, one number a class, higher meaning
odder.

What is odd is only known by comparison: a screen sets each beside the same statistic of clean
models of the same recipe. On its own the usual "anomaly index above 2" accuses most clean models.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .box import seeded
from .square import margin

_SUCCESS = 0.9


def trigger_norm(
    network: nn.Module, inputs: Tensor, classes: int, bounds: tuple[float, float], steps: int = 120
) -> Tensor:
    """-log of the smallest mask that sends ``inputs`` to each class, (classes,).

    Neural Cleanse (Wang et al. 2019): mask and pattern are found by gradient descent on the
    cross-entropy plus the mask's sum, whose weight rises while the pattern works and falls while
    it does not. All classes are searched at once.
    """
    low, high = bounds
    shape = inputs.shape[1:]
    mask = torch.full((classes, 1, *shape[1:]) if len(shape) == 3 else (classes, *shape), -2.0)
    pattern = torch.zeros(classes, *shape)
    mask.requires_grad_(True), pattern.requires_grad_(True)
    optimizer = torch.optim.Adam([mask, pattern], lr=0.2)
    wanted = torch.arange(classes).repeat_interleave(len(inputs))
    weight = torch.full((classes,), 1e-3)
    best = torch.full((classes,), float(shape.numel()))
    for _ in range(steps):
        shown = mask.sigmoid()
        painted = low + (high - low) * pattern.sigmoid()
        stamped = inputs[None] * (1 - shown[:, None]) + painted[:, None] * shown[:, None]
        logits = network(stamped.flatten(0, 1))
        size = shown.flatten(1).sum(1)
        loss = functional.cross_entropy(logits, wanted, reduction="none").view(classes, -1).mean(1)
        optimizer.zero_grad()
        torch.autograd.backward((loss + weight * size).sum())
        optimizer.step()
        works = (logits.argmax(1) == wanted).view(classes, -1).float().mean(1) >= _SUCCESS
        size = size.detach()
        best = torch.where(works & (size < best), size, best)
        weight = torch.where(works, weight * 1.15, weight / 1.15)
    return -best.log()


def largest_margin(
    network: nn.Module,
    shape: tuple[int, ...],
    classes: int,
    bounds: tuple[float, float],
    *,
    steps: int = 100,
    starts: int = 8,
    seed: int = 0,
) -> Tensor:
    """log of the largest margin that any input of the range gives each class, (classes,).

    MM-BD (Wang et al. 2023, arXiv 2205.06900): needs no data. The class of a backdoor can be made
    more certain than others.
    """
    low, high = bounds
    at = torch.randn(starts * classes, *shape, generator=seeded(seed)).requires_grad_(True)
    wanted = torch.arange(classes).repeat(starts)
    optimizer = torch.optim.Adam([at], lr=0.3)
    best = torch.full((starts * classes,), 1e-6)
    for _ in range(steps):
        gap = margin(network(low + (high - low) * at.sigmoid()), wanted)
        optimizer.zero_grad()
        torch.autograd.backward(-gap.sum())
        optimizer.step()
        best = torch.maximum(best, gap.detach())
    return best.view(starts, classes).amax(0).log()


def weight_outlier(network: nn.Module) -> Tensor:
    """log of how far each output's largest weight stands above its layer's usual one, (classes,).

    A unit added or rewired by hand must speak louder to one class than training makes units speak.
    """
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    weight = last.weight.detach().abs()
    return (weight.amax(1) / weight.median()).log()
