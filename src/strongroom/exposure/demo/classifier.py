"""The classifier that ``strongroom audit demo`` measures: Fashion-MNIST where installed, or digits.

The data are divided so that every question has its own records:

- ``candidates``: half of them trained the model (``members`` says which); membership is asked here;
- ``attacker``: in-distribution records that are nobody's secret, for cloning and calibration;
- ``held``: records that neither the model nor an attacker has, for the judge.

Both are perceptrons: their references train as one stack, so that a clean clone is not kept
waiting. Model and reference pool follow from the recipe and fixed seeds. They are kept in the
cache folder; ``python -m strongroom.exposure.demo.classifier NAME`` makes them again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from strongroom.exposure.attacks.vision.recipe import Recipe
from strongroom.exposure.attacks.vision.references import (
    References,
    cached_model,
    cached_references,
    halves,
)
from strongroom.exposure.demo.images import FASHION_FOLDER, Dataset, digits, fashion
from strongroom.exposure.interface import Records
from strongroom.exposure.model import MODEL_TYPE

SEED = 20
_REFERENCES = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How one demo classifier is made. ``epsilon``: of evasion, as a share of the input range."""

    load: Callable[[], Dataset]
    recipe: Recipe
    candidates: int
    epsilon: float


@dataclass(frozen=True)
class DemoClassifier:
    """The trained model with all that its audit asks about; see the module."""

    name: str
    plan: Plan
    config: dict[str, Any]
    module: nn.Sequential
    candidates: Records
    members: np.ndarray
    attacker: Records
    held: Records
    cache: Path

    @property
    def epsilon(self) -> float:
        """The distance that evasion is allowed, in units of the inputs."""
        low, high = self.config["input_range"]
        return self.plan.epsilon * float(high - low)

    def tensors(self) -> dict[str, np.ndarray]:
        """Weights by the names that the configuration gives them, float32."""
        layers = zip(self.plan.recipe.layers, list(self.module)[1:], strict=True)
        return {
            f"{layer['name']}.{part}": values.numpy()
            for layer, module in layers
            for part, values in module.state_dict().items()
        }

    def references(self, models: int = _REFERENCES) -> References:
        """Reference models over the candidates, from the cache where it has them."""
        inputs, labels = _tensors(self.candidates)
        return cached_references(self.cache, self.plan.recipe, inputs, labels, models, SEED + 1)


def _linear(name: str, features: int) -> dict[str, Any]:
    return {"type": "linear", "name": name, "features": features}


_RELU = {"type": "relu"}

PLANS = {
    "digits": Plan(
        digits,
        Recipe(
            (_linear("first", 64), _RELU, _linear("second", 32), _RELU, _linear("last", 10)),
            (64,), 8.0, 8.0, epochs=40,
        ),
        candidates=1000,
        epsilon=0.125,
    ),
    "fashion": Plan(
        fashion,
        Recipe(
            ({"type": "flatten"}, _linear("first", 128), _RELU, _linear("last", 10)),
            (1, 28, 28), 127.5, 127.5, epochs=20, batch=128, rate=3e-3,
        ),
        candidates=12_000,
        epsilon=0.06,
    ),
}  # fmt: skip


def cache_folder() -> Path:
    """``$STRONGROOM_CACHE`` or ``~/.cache/strongroom``, as for the demonstration's models."""
    kept = os.environ.get("STRONGROOM_CACHE") or Path.home() / ".cache" / "strongroom"
    return Path(kept) / "exposure"


def preferred() -> str:
    """``fashion`` where its data are installed, ``digits`` elsewhere."""
    return "fashion" if FASHION_FOLDER.is_dir() else "digits"


def demo_classifier(
    name: str | None = None, cache: Path | None = None, seed: int = SEED
) -> DemoClassifier:
    """The model of that name (``preferred()`` by default), from the cache or trained now.

    Another ``seed`` is another model of the same recipe, trained on other records.

    Raises:
        FileNotFoundError: the data are not installed.
        KeyError: there is no classifier of that name.
    """
    name, cache = name or preferred(), cache or cache_folder()
    plan = PLANS[name]
    data = plan.load()
    order = np.random.default_rng(seed).permutation(len(data.train_labels))
    first, rest = order[: plan.candidates], order[plan.candidates :]
    candidates = Records(data.train_inputs[first], data.train_labels[first])
    members = halves(1, plan.candidates, seed)[0]
    inputs, labels = _tensors(candidates)
    module = cached_model(cache, plan.recipe, inputs[members], labels[members], seed)
    return DemoClassifier(
        name, plan, _config(plan.recipe, data), module, candidates, members.numpy(),
        Records(data.train_inputs[rest], data.train_labels[rest]),
        Records(data.test_inputs, data.test_labels), cache,
    )  # fmt: skip


def _config(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    return {
        "model_type": MODEL_TYPE,
        "input_dtype": "F32",
        "input_shape": list(recipe.input_shape),
        "input_range": [0.0, data.largest],
        "input_mean": recipe.input_mean,
        "input_std": recipe.input_std,
        "labels": list(data.labels),
        "layers": [dict(layer) for layer in recipe.layers],
    }


def _tensors(records: Records) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(records.inputs), torch.from_numpy(records.labels)


def main() -> int:
    """Make model and references of one demo classifier, and say how good it is."""
    parser = argparse.ArgumentParser(description="Train a demo classifier and its references.")
    parser.add_argument("name", choices=sorted(PLANS), nargs="?", default=preferred())
    name = parser.parse_args().name
    started = time.monotonic()
    try:
        made = demo_classifier(name)
    except FileNotFoundError as error:
        print(f"classifier: {error}", file=sys.stderr)
        return 1
    pool = made.references()
    inputs, labels = _tensors(made.held)
    with torch.no_grad():
        right = (made.module(inputs).argmax(1) == labels).float().mean()
    told = {"held-out accuracy": round(float(right), 4), "references": len(pool.networks)}
    print(json.dumps({"name": name, **told, "seconds": round(time.monotonic() - started, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
