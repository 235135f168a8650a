"""Small real models for tests: a perceptron on scikit-learn's digits, trained in a second."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from strongroom.exposure.interface import Records
from strongroom.exposure.model import Classifier, fresh_module

CONFIG = {
    "model_type": "strongroom-classifier",
    "input_dtype": "F32",
    "input_shape": [1, 8, 8],
    "input_range": [0.0, 16.0],
    "input_mean": 8.0,
    "input_std": 8.0,
    "labels": [str(n) for n in range(10)],
    "layers": [
        {"type": "flatten"},
        {"type": "linear", "name": "first", "features": 64},
        {"type": "relu"},
        {"type": "linear", "name": "last", "features": 10},
    ],
}


@cache
def digits() -> Records:
    """All 1,797 digits in a fixed random order."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = data.images[order, None].astype(np.float32)
    return Records(images, data.target[order].astype(np.int64))


def some(start: int, stop: int) -> Records:
    """Digits ``start`` to ``stop``."""
    data = digits()
    return Records(data.inputs[start:stop], data.labels[start:stop])


def train(
    records: Records, seed: int, *, epochs: int = 60, config: dict[str, object] = CONFIG
) -> nn.Module:
    """The recipe: full-batch Adam until the training data are known by heart."""
    torch.manual_seed(seed)
    module = fresh_module(config)
    inputs, labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
    steps = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(epochs):
        steps.zero_grad()
        nn.functional.cross_entropy(module(inputs), labels).backward()
        steps.step()
    return module.eval()


@cache
def trained(count: int = 400, seed: int = 1, epochs: int = 60) -> Classifier:
    """Trained on the first ``count`` digits."""
    module = train(some(0, count), seed, epochs=epochs)
    return Classifier(module, (1, 8, 8), (0.0, 16.0), tuple(map(str, range(10))))
