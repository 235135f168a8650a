"""How a classifier is made: what an attacker who knows it can make again, with other data.

A recipe is data: the layers as a sealed ``config.json`` describes them, the normalisation, and how
it is trained. Reference models, clones and the judge's evaluators are all trained here, on one
thread: the networks are small, and more threads only wait for each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from strongroom.exposure.model import fresh_module

Layer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Layers, normalisation and training. ``input_shape`` is without the batch axis."""

    layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]
    input_mean: float = 0.0
    input_std: float = 1.0
    epochs: int = 10
    batch: int = 64
    rate: float = 6e-3
    decay: float = 0.01

    @property
    def digest(self) -> str:
        """SHA-256, hex: two recipes of one digest make the same network."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def dense(self) -> bool:
        """Whether the network is a perceptron, so that many can be trained as one stack."""
        return {layer["type"] for layer in self.layers} <= {"flatten", "linear", "relu"}


def build(recipe: Recipe, seed: int) -> nn.Sequential:
    """A fresh network, its weights drawn from ``seed``.

    Raises:
        ExposureRefused: ``exposure.model_unsupported``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fresh_module(asdict(recipe))


def train(recipe: Recipe, inputs: Tensor, labels: Tensor, seed: int) -> nn.Sequential:
    """A network trained on ``inputs`` (rows, *input_shape), in evaluation mode.

    ``labels``: classes (rows,), or a distribution over the classes for each row (rows, classes).
    """
    network = build(recipe, seed)
    by = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=recipe.decay)
    size = min(recipe.batch, len(inputs))
    total = recipe.epochs * (len(inputs) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=total + 1)
    with one_thread():
        for _ in range(recipe.epochs):
            order = torch.randperm(len(inputs), generator=by)
            for rows in torch.split(order[: len(order) // size * size], size):
                loss = functional.cross_entropy(network(inputs[rows]), labels[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def logits_of(network: nn.Module, inputs: Tensor, batch: int = 512) -> Tensor:
    """(rows, classes), without gradients."""
    return torch.cat([network(part) for part in torch.split(inputs, batch)])


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on a single thread inside the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
