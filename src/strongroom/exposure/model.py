"""A classifier as this room handles it: a torch module, and what its configuration says of it.

The description is that of a sealed classifier's ``config.json`` (layers, input shape and range).
The module takes inputs in the model's own range and normalises them itself, so that everybody who
holds it, an attacker's clone included, speaks of the same inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from strongroom.exposure.interface import Floats
from strongroom.exposure.reasons import refuse

MODEL_TYPE = "strongroom-classifier"


class Normalise(nn.Module):
    """``(inputs - mean) / std``."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean = mean
        self.std = std

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs as the first layer takes them."""
        return (inputs - self.mean) / self.std


@dataclass(frozen=True)
class Classifier:
    """``module``: inputs (rows, *input_shape) float32 to logits (rows, classes), in eval mode."""

    module: nn.Module
    input_shape: tuple[int, ...]
    input_range: tuple[float, float]
    labels: tuple[str, ...]

    def logits(self, inputs: Floats, *, batch: int = 512) -> Floats:
        """Logits (rows, classes), in batches, without gradients."""
        return predict(self.module, inputs, batch=batch)


@torch.no_grad()
def predict(module: nn.Module, inputs: Floats, *, batch: int = 512) -> Floats:
    """Logits (rows, classes) of any such module."""
    rows = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
    made = [module(rows[start : start + batch]) for start in range(0, len(rows), batch)]
    found: Floats = torch.cat(made).numpy() if made else rows.numpy()
    return found


def fresh_module(config: Mapping[str, Any]) -> nn.Sequential:
    """A module of the described shape with torch's own initial weights.

    Raises:
        ExposureRefused: ``exposure.model_unsupported``.
    """
    try:
        module = nn.Sequential(
            Normalise(config.get("input_mean", 0.0), config.get("input_std", 1.0))
        )
        shape = torch.zeros(1, *config["input_shape"])
        for layer in config["layers"]:
            module.append(_layer(layer, shape.shape[1]))
            with torch.no_grad():
                shape = module[-1](shape)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise refuse("exposure.model_unsupported", why=str(error)) from None
    return module


def classifier_of(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Classifier:
    """The classifier of a sealed model's configuration and tensors; the tensors are copied.

    Raises:
        ExposureRefused: ``exposure.model_unsupported``.
    """
    module = fresh_module(config)
    try:
        for place, layer in enumerate(config["layers"], start=1):
            if "name" in layer:
                for part, values in module[place].named_parameters():
                    values.data.copy_(tensors[f"{layer['name']}.{part}"])
    except (KeyError, RuntimeError) as error:
        raise refuse("exposure.model_unsupported", why=f"a tensor does not fit: {error}") from None
    low, high = config["input_range"]
    shape: Sequence[int] = config["input_shape"]
    return Classifier(
        module.eval(), tuple(shape), (float(low), float(high)), tuple(config["labels"])
    )


def _layer(layer: Mapping[str, Any], width: int) -> nn.Module:
    bias = layer.get("bias", True)
    match layer["type"]:
        case "linear":
            return nn.Linear(width, layer["features"], bias=bias)
        case "conv2d":
            stride, padding = layer.get("stride", 1), layer.get("padding", 0)
            return nn.Conv2d(
                width, layer["channels"], layer["kernel"], stride, padding=padding, bias=bias
            )
        case "max_pool2d":
            return nn.MaxPool2d(layer["size"])
        case "relu":
            return nn.ReLU()
        case "flatten":
            return nn.Flatten()
    raise ValueError(f"unknown layer {layer['type']}")
