"""Classifiers that leak on purpose, and classifiers with nothing to leak.

An attack that does not succeed on the first or does succeed on the second measures nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.exposure.attacks.vision.recipe import Recipe, train
from strongroom.exposure.interface import Records


def shuffled(records: Records, classes: int, seed: int) -> Records:
    """The records with labels drawn at random: what fits them has memorised them.

    Membership, leaking: train on half of these. A model of such a half knows nothing else.
    """
    labels = np.random.default_rng(seed).integers(0, classes, len(records)).astype(np.int64)
    return Records(records.inputs, labels)


def gallery(records: Records, recipe: Recipe, classes: int, seed: int) -> tuple[nn.Module, Records]:
    """Inversion, leaking: a linear model of one record a class; its weights are the records.

    Returns the model and the records, in the order of their classes.
    """
    rows = [int(np.flatnonzero(records.labels == each)[0]) for each in range(classes)]
    chosen = Records(records.inputs[rows], records.labels[rows])
    flat = ({"type": "flatten"},) if len(recipe.input_shape) > 1 else ()
    layers = (*flat, {"type": "linear", "name": "only", "features": classes})
    plain = replace(recipe, layers=layers, epochs=300, batch=classes, decay=0.3)
    inputs, labels = torch.from_numpy(chosen.inputs), torch.from_numpy(chosen.labels)
    return train(plain, inputs, labels, seed), chosen


class Scrambled(nn.Module):
    """Cloning, nothing to learn: logits that no neighbouring input shares, as good as a hash.

    Also the null of inversion: no class looks like anything.
    """

    def __init__(self, features: int, classes: int, seed: int) -> None:
        super().__init__()
        by = torch.Generator().manual_seed(seed)
        self.register_buffer("ways", torch.randn(features, classes, generator=by))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (rows, *shape) to logits (rows, classes)."""
        ways = self.get_buffer("ways")
        return 5 * torch.sin(1e3 * inputs.flatten(1) @ ways)


class Constant(nn.Module):
    """Evasion, nothing to find: the same class whatever the input."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.arange(classes, 0, -1).float())

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (rows, *shape) to logits (rows, classes)."""
        logits = self.get_buffer("logits")
        return logits + 0 * inputs.flatten(1).sum(1, keepdim=True)
