"""One bit of the weights flipped in memory (Rakin et al. 2019, arXiv 1903.12269), and the hash
that sees it.

The bit that harms most is an exponent bit of a weight with a steep slope: a few hundred of those
are tried, the worst is kept. What answers it is not a statistic but a digest taken when the model
was opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from strongroom.exposure.interface import (
    Alarms,
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse

from .recipe import logits_of, one_thread

_EXPONENT_BITS = (30, 29, 28, 27)


class BitFlip(Attack):
    """Flip the worst bit of a copy of the weights, and compare digests.

    Args:
        weights: of each tensor, those of steepest slope, that are tried.
    """

    name = "bit-flip"
    family = Family.TAMPERING
    goal = "Ruin a model by one bit of its memory, unseen"
    rungs = (Rung.WEIGHTS,)
    knowledge = (Knows.DATA, Knows.RECIPE)
    applies = ("classifier",)
    taxonomy = ("OWASP-ML:ML10:2023",)
    source = "Rakin et al., Bit-flip attack, ICCV 2019"
    cost = "a gradient and some hundred forward passes"

    def __init__(self, *, weights: int = 8) -> None:
        self.weights = weights

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Alarms for the flipped copy and for an untouched one; scores: accuracy that was lost."""
        if knowledge.data is None:
            raise refuse("exposure.knowledge_lacking", what="data to see the harm on")
        inputs = torch.from_numpy(np.ascontiguousarray(knowledge.data.inputs[:256]))
        labels = torch.from_numpy(np.ascontiguousarray(knowledge.data.labels[:256]))
        opened, flipped, untouched = target.model(), target.model(), target.model()
        sealed = weight_digest(opened)
        with one_thread():
            flip_worst(flipped, inputs, labels, self.weights)
            before = _accuracy(opened, inputs, labels)
            lost = [before - _accuracy(m, inputs, labels) for m in (flipped, untouched)]
        fired = tuple(weight_digest(m) != sealed for m in (flipped, untouched))
        return [Alarms(target.spent().queries, fired, np.asarray(lost))]


def weight_digest(network: nn.Module) -> str:
    """SHA-256 (hex) over name, type, shape and bytes of every tensor."""
    seen = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        seen.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        seen.update(values.detach().contiguous().numpy().tobytes())
    return seen.hexdigest()


def flip_worst(network: nn.Module, inputs: Tensor, labels: Tensor, weights: int) -> None:
    """Flip in place the one bit, among those tried, that costs most accuracy."""
    network.requires_grad_(True)
    loss = functional.cross_entropy(network(inputs), labels)
    parameters = list(network.parameters())
    slopes = torch.autograd.grad(loss, parameters)
    network.requires_grad_(False)
    worst: tuple[float, Tensor, int, int] | None = None
    for values, slope in zip(parameters, slopes, strict=True):
        flat = values.data.view(-1)
        for place in slope.abs().flatten().topk(min(weights, len(flat))).indices.tolist():
            for bit in _EXPONENT_BITS:
                _flip(flat, place, bit)
                left = _accuracy(network, inputs, labels)
                _flip(flat, place, bit)
                if worst is None or left < worst[0]:
                    worst = left, flat, place, bit
    if worst is not None:
        _flip(*worst[1:])


def _flip(flat: Tensor, place: int, bit: int) -> None:
    flat.view(torch.int32)[place] ^= 1 << bit


def _accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    return float((logits_of(network, inputs).argmax(1) == labels).float().mean())
