"""Trains the example classifiers: ``python -m demo.classifiers {digits,fashion} FOLDER``.

Real networks on real data, in seconds on one core: a perceptron with two hidden layers on the
digits, a small convolutional network on Fashion-MNIST. What is written, ``model.safetensors`` and a
``config.json`` of model type ``strongroom-classifier``, is what ``strongroom seal`` takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from demo.datasets import Dataset, digits, fashion
from demo.safetensors_file import TensorSource, write_safetensors

Layer = dict[str, Any]
"""One entry of ``layers`` in the configuration; see ``keeper/engine/classifier_config.py``."""

_BATCH = 64
_SEED = 20
_PEAK_RATE = 6e-3


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one classifier is made. ``rows`` of training data are enough, ``epochs`` times over."""

    load: Callable[[], Dataset]
    layers: tuple[Layer, ...]
    epochs: int
    rows: int


RECIPES = {
    "digits": Recipe(
        load=digits,
        layers=(
            {"type": "linear", "name": "first", "features": 64},
            {"type": "relu"},
            {"type": "linear", "name": "second", "features": 32},
            {"type": "relu"},
            {"type": "linear", "name": "last", "features": 10},
        ),
        epochs=30,
        rows=10_000,
    ),
    "fashion": Recipe(
        load=fashion,
        layers=(
            {"type": "conv2d", "name": "first", "channels": 8, "kernel": 3, "padding": 1},
            {"type": "relu"},
            {"type": "max_pool2d", "size": 2},
            {"type": "conv2d", "name": "second", "channels": 16, "kernel": 3, "padding": 1},
            {"type": "relu"},
            {"type": "max_pool2d", "size": 2},
            {"type": "flatten"},
            {"type": "linear", "name": "third", "features": 64},
            {"type": "relu"},
            {"type": "linear", "name": "last", "features": 10},
        ),
        epochs=1,
        rows=20_000,
    ),
}


def train(name: str, folder: Path) -> float:
    """Train the classifier ``name``, write it to the new ``folder``; its held-out accuracy.

    Raises:
        FileNotFoundError: the data are not installed.
        FileExistsError: ``folder`` exists.
        KeyError: there is no classifier of that name.
    """
    recipe = RECIPES[name]
    data = recipe.load()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are small: more threads only wait for each other
    try:
        network = _fit(recipe, data)
        accuracy = _accuracy(network, data)
    finally:
        torch.set_num_threads(threads)
    _write(recipe, data, network, folder)
    return accuracy


def _fit(recipe: Recipe, data: Dataset) -> nn.Sequential:
    torch.manual_seed(_SEED)
    network = _network(recipe.layers, data.train_inputs.shape[1:])
    order = np.random.default_rng(_SEED).permutation(len(data.train_labels))[: recipe.rows]
    inputs = _normalised(data, data.train_inputs[order])
    labels = torch.from_numpy(data.train_labels[order])
    optimizer = torch.optim.AdamW(network.parameters())
    steps = recipe.epochs * -(-len(labels) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps)
    for _ in range(recipe.epochs):
        for rows in torch.split(torch.randperm(len(labels)), _BATCH):
            loss = nn.functional.cross_entropy(network(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def _network(layers: tuple[Layer, ...], input_shape: tuple[int, ...]) -> nn.Sequential:
    """The torch modules of a description; each layer sees what shape the ones before give."""
    network = nn.Sequential()
    shape = torch.zeros(1, *input_shape)
    for layer in layers:
        module = _module(layer, shape.shape[1])
        network.append(module)
        with torch.no_grad():
            shape = module(shape)
    return network


def _module(layer: Layer, width: int) -> nn.Module:
    match layer["type"]:
        case "linear":
            return nn.Linear(width, layer["features"])
        case "conv2d":
            return nn.Conv2d(width, layer["channels"], layer["kernel"], padding=layer["padding"])
        case "max_pool2d":
            return nn.MaxPool2d(layer["size"])
        case "flatten":
            return nn.Flatten()
        case "relu":
            return nn.ReLU()
    raise ValueError(f"unknown layer {layer['type']}")


def _accuracy(network: nn.Sequential, data: Dataset) -> float:
    with torch.no_grad():
        found = network(_normalised(data, data.test_inputs)).argmax(1).numpy()
    return float((found == data.test_labels).mean())


def _normalised(data: Dataset, inputs: np.ndarray) -> torch.Tensor:
    centre = data.largest / 2
    return torch.from_numpy((inputs - centre) / centre)


def _write(recipe: Recipe, data: Dataset, network: nn.Sequential, folder: Path) -> None:
    folder.mkdir(parents=True)
    tensors = {}
    for layer, module in zip(recipe.layers, network, strict=True):
        for part, values in module.state_dict().items():
            array = values.numpy()
            source = TensorSource("F32", array.shape, lambda array=array: array)  # type: ignore[misc]
            tensors[f"{layer['name']}.{part}"] = source
    write_safetensors(folder / "model.safetensors", tensors)
    config = {
        "model_type": "strongroom-classifier",
        "input_dtype": "F32",
        "input_shape": list(data.train_inputs.shape[1:]),
        "input_range": [0.0, data.largest],
        "input_mean": data.largest / 2,
        "input_std": data.largest / 2,
        "labels": list(data.labels),
        "layers": list(recipe.layers),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Train one classifier and print its held-out accuracy."""
    parser = argparse.ArgumentParser(prog="python -m demo.classifiers", description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        accuracy = train(options.name, options.folder)
    except OSError as error:
        print(f"classifiers: {error}", file=sys.stderr)
        return 1
    print(f"{options.folder}: right on {accuracy:.1%} of the images held out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
