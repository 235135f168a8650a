"""The described network computes what torch's modules compute, and nothing ill-fitting is built."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from strongroom.errors import ConfigurationRefused, RequestRefused
from strongroom.keeper.engine.classifier import SmallClassifier, parse_classifier_config

CNN: dict[str, Any] = {
    "model_type": "strongroom-classifier",
    "input_dtype": "U8",
    "input_shape": [1, 12, 10],
    "input_range": [0, 255],
    "input_mean": 127.5,
    "input_std": 64.0,
    "labels": ["a", "b", "c"],
    "layers": [
        {"type": "conv2d", "name": "0", "channels": 5, "kernel": 3, "padding": 1},
        {"type": "relu"},
        {"type": "max_pool2d", "size": 2},
        {"type": "conv2d", "name": "3", "channels": 7, "kernel": 3, "stride": 2, "bias": False},
        {"type": "relu"},
        {"type": "flatten"},
        {"type": "linear", "name": "6", "features": 3},
    ],
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 7, 3, stride=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(7 * 2 * 2, 3),
    ).eval()


def build(description: dict[str, Any], tensors: dict[str, torch.Tensor]) -> SmallClassifier:
    return SmallClassifier(parse_classifier_config(json.dumps(description).encode()), tensors)


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    """The CNN's description with one value replaced."""
    copy = json.loads(json.dumps(CNN))
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return copy


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_logits_are_those_of_torch_modules(rows: int) -> None:
    module = network()
    engine = build(CNN, dict(module.state_dict()))
    engine.warm_up()
    batch = np.random.default_rng(rows).integers(0, 256, (rows, 1, 12, 10), dtype=np.uint8)
    with torch.no_grad():
        expected = module((torch.from_numpy(batch).float() - 127.5) / 64.0)
    logits = engine.classify(batch)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_half_precision_weights_are_computed_in_float32() -> None:
    module = nn.Sequential(nn.Linear(4, 2)).bfloat16()
    description = {
        "model_type": "strongroom-classifier",
        "input_dtype": "F32",
        "input_shape": [4],
        "input_range": [-1.0, 1.0],
        "labels": ["no", "yes"],
        "layers": [{"type": "linear", "name": "0", "features": 2}],
    }
    engine = build(description, dict(module.state_dict()))
    batch = np.array([[0.1, -0.2, 0.3, 0.4]], np.float32)
    with torch.no_grad():
        expected = module.float()(torch.from_numpy(batch))
    torch.testing.assert_close(engine.classify(batch), expected)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((0, 1, 12, 10), np.uint8),
        np.zeros((65, 1, 12, 10), np.uint8),
        np.zeros((1, 1, 10, 12), np.uint8),
        np.zeros((1, 1, 12, 10), np.float32),
        np.zeros((), np.uint8),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(batch: np.ndarray) -> None:
    with pytest.raises(RequestRefused) as refusal:
        build(CNN, dict(network().state_dict())).classify(batch)
    assert refusal.value.code == "keeper.input_mismatch"


@pytest.mark.parametrize(
    "description",
    [
        changed(["layers", 0, "type"], "conv3d"),
        changed(["layers", 0, "dilation"], 2),
        changed(["layers", 0, "kernel"], "3"),
        changed(["layers", 0, "kernel"], 31),
        changed(["layers", 3, "name"], "0"),
        changed(["layers", 5, "type"], "relu"),
        changed(["labels"], ["a", "b"]),
        changed(["labels"], ["a", "b", "b"]),
        changed(["input_range"], [1, 1]),
        changed(["input_range"], [0, 256]),
        changed(["input_shape"], [1, 12]),
        changed(["input_std"], 0),
        changed(["surplus"], 0),
    ],
)
def test_a_description_that_does_not_fit_is_refused(description: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationRefused) as refusal:
        build(description, dict(network().state_dict()))
    assert refusal.value.code == "keeper.model_config_invalid"


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"\xebind":1}', b"[" * 100_000])
def test_what_is_no_description_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigurationRefused) as refusal:
        parse_classifier_config(raw)
    assert refusal.value.code == "keeper.model_config_invalid"


@pytest.mark.parametrize("fault", ["missing", "surplus", "shape", "dtype"])
def test_tensors_that_do_not_fit_are_refused(fault: str) -> None:
    tensors = dict(network().state_dict())
    match fault:
        case "missing":
            del tensors["6.bias"]
        case "surplus":
            tensors["7.bias"] = torch.zeros(3)
        case "shape":
            tensors["6.bias"] = torch.zeros(4)
        case "dtype":
            tensors["6.bias"] = torch.zeros(3, dtype=torch.int32)
    with pytest.raises(ConfigurationRefused) as refusal:
        build(CNN, tensors)
    assert refusal.value.code == "keeper.model_tensors_mismatch"
