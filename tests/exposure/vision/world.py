"""The digits as attackers and judges see them, made once."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn

from strongroom.exposure.attacks.vision.recipe import Recipe, train
from strongroom.exposure.attacks.vision.references import References, train_references
from strongroom.exposure.controls.classifiers import shuffled
from strongroom.exposure.interface import Attack, Budget, Claim, Knowledge, Records
from strongroom.exposure.ladder import Rung
from strongroom.exposure.model import Classifier
from strongroom.exposure.targets.in_process import open_classifier

CLASSES, HIGH = 10, 16.0
PUBLIC = {
    "labels": tuple(map(str, range(CLASSES))),
    "input_shape": (64,),
    "input_range": (0.0, HIGH),
}
RELU = {"type": "relu"}


def linear(name: str, features: int) -> dict[str, object]:
    return {"type": "linear", "name": name, "features": features}


RECIPE = Recipe(
    (linear("a", 64), RELU, linear("b", 32), RELU, linear("c", 10)), (64,), 8.0, 8.0, epochs=25
)


@cache
def digits() -> tuple[Records, Records]:
    """1,000 candidates, and 797 others, in an order of their own."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    inputs, labels = inputs[order].astype(np.float32), labels[order].astype(np.int64)
    return Records(inputs[:1000], labels[:1000]), Records(inputs[1000:], labels[1000:])


@cache
def bits() -> np.ndarray:
    """Which candidates are members: half of them."""
    found = np.zeros(1000, dtype=bool)
    found[np.random.default_rng(1).permutation(1000)[:500]] = True
    return found


def chosen(records: Records, rows: np.ndarray) -> Records:
    return Records(records.inputs[rows], records.labels[rows])


def fit(records: Records, seed: int, recipe: Recipe = RECIPE) -> nn.Sequential:
    return train(recipe, torch.from_numpy(records.inputs), torch.from_numpy(records.labels), seed)


@cache
def target() -> nn.Sequential:
    """Trained on the members."""
    return fit(chosen(digits()[0], bits()), 99)


MEMORY = Recipe((linear("a", 512), RELU, linear("c", 10)), (64,), 8.0, 8.0, epochs=50, decay=0.0)


@cache
def memorised() -> tuple[nn.Sequential, Records, np.ndarray, References]:
    """A model of random labels, who was asked about, who trained it, references of its kind."""
    asked = shuffled(chosen(digits()[0], np.arange(600)), CLASSES, 3)
    inputs, labels = torch.from_numpy(asked.inputs), torch.from_numpy(asked.labels)
    members = np.random.default_rng(2).permutation(600) < 300
    pool = train_references(MEMORY, inputs, labels, 8, 11)
    return fit(chosen(asked, members), 7, MEMORY), asked, members, pool


@cache
def references() -> References:
    records = digits()[0]
    inputs, labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
    return train_references(RECIPE, inputs, labels, 16, 5)


def attacked(
    attack: Attack,
    module: nn.Module,
    rung: Rung,
    knowledge: Knowledge,
    *,
    queries: int = 1_000_000,
    points: tuple[int, ...] = (),
) -> list[Claim]:
    """What ``attack`` claims of ``module`` exposed at ``rung``."""
    shape, bounds = knowledge.public["input_shape"], knowledge.public["input_range"]
    model = Classifier(module.eval(), shape, bounds, knowledge.public["labels"])
    budget = Budget(queries, 60.0, points)
    return list(attack.run(open_classifier(model, rung, budget), knowledge, budget, 0))
