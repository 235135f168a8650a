"""The embedded classifier: small multi-layer perceptrons and convolutional networks.

``classifier_config`` documents what can be described. The whole network's shapes are followed at
construction, so a description that does not fit its tensors or labels never serves. Batches are
padded to powers of two, so that after ``warm_up`` no shape is new.
"""

from __future__ import annotations

from math import prod

import msgspec
import numpy as np
import torch
import torch.nn.functional as F

from strongroom.errors import RequestRefused
from strongroom.keeper.engine.classifier_config import (
    ClassifierConfig,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Relu,
)
from strongroom.keeper.engine.interface import ClassifierEngine, Tensors
from strongroom.keeper.engine.llama_config import refuse
from strongroom.keeper.engine.llama_weights import check_tensors

MAX_BATCH = 64

Shape = tuple[int, ...]


def parse_classifier_config(raw: bytes) -> ClassifierConfig:
    """Read and check a description on its own.

    Raises:
        ConfigurationRefused: ``keeper.model_config_invalid``, saying where.
    """
    try:
        config = msgspec.json.decode(raw, type=ClassifierConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(f"The classifier's description is wrong: {error}.") from None
    low, high = config.input_range
    if not low < high or (config.input_dtype == "U8" and not 0 <= low < high <= 255):
        raise refuse("The classifier's input_range is empty or outside its input_dtype.")
    if len(set(config.labels)) != len(config.labels):
        raise refuse("The classifier's labels repeat.")
    return config


def expected_shapes(config: ClassifierConfig) -> dict[str, Shape]:
    """Follow the input through all layers; every tensor that they need.

    Raises:
        ConfigurationRefused: ``keeper.model_config_invalid`` where one layer does not fit the next.
    """
    shapes: dict[str, Shape] = {}
    shape = config.input_shape
    for number, layer in enumerate(config.layers):
        owned: dict[str, Shape] = {}
        shape, owned = _follow(layer, shape, number)
        if shapes.keys() & owned.keys():
            raise refuse(f"The classifier's layer {number} has the name of an earlier one.")
        shapes |= owned
    if shape != (len(config.labels),):
        raise refuse("The classifier's last layer does not yield one number for each label.")
    return shapes


def _follow(layer: Layer, shape: Shape, number: int) -> tuple[Shape, dict[str, Shape]]:
    """The shape after a layer, and the tensors that the layer owns."""
    match layer:
        case Linear() if len(shape) == 1:
            return (layer.features,), _owned(layer, (layer.features, shape[0]))
        case Conv2d() if len(shape) == 3:
            sides = [(n + 2 * layer.padding - layer.kernel) // layer.stride + 1 for n in shape[1:]]
            after, square = (layer.channels, *sides), (layer.kernel, layer.kernel)
            owned = _owned(layer, (layer.channels, shape[0], *square))
        case MaxPool2d() if len(shape) == 3:
            after, owned = (shape[0], *(n // layer.size for n in shape[1:])), {}
        case Relu():
            return shape, {}
        case Flatten():
            return (prod(shape),), {}
        case _:
            raise refuse(f"The classifier's layer {number} does not take what precedes it.")
    if min(after) < 1 or prod(after) > 2**24:
        raise refuse(f"The classifier's layer {number} yields nothing, or too much.")
    return after, owned


def _owned(layer: Linear | Conv2d, weight: Shape) -> dict[str, Shape]:
    bias = {f"{layer.name}.bias": (weight[0],)} if layer.bias else {}
    return {f"{layer.name}.weight": weight} | bias


class SmallClassifier(ClassifierEngine):
    """A described classifier. F32 tensors are used where they lie; others are copied to float32.

    Raises:
        ConfigurationRefused: ``keeper.model_config_invalid``, ``keeper.model_tensors_mismatch``.
    """

    def __init__(self, config: ClassifierConfig, tensors: Tensors) -> None:
        shapes = expected_shapes(config)
        check_tensors(tensors, shapes)
        self._config = config
        self._tensors = {name: tensors[name].float() for name in shapes}
        self.input_dtype = config.input_dtype
        self.input_shape = config.input_shape
        self.input_range = config.input_range
        self.labels = config.labels
        self.max_batch = MAX_BATCH

    def warm_up(self) -> None:
        """Run every batch size that will ever be served: 1, 2, 4, … ``max_batch``."""
        size = 1
        while size <= self.max_batch:
            self._run(torch.zeros(size, *self.input_shape))
            size *= 2

    def classify(self, batch: np.ndarray) -> torch.Tensor:
        """Logits (rows, classes) in float32.

        Raises:
            RequestRefused: ``keeper.input_mismatch`` for another shape, dtype or too many rows.
        """
        dtype = np.dtype(np.float32 if self.input_dtype == "F32" else np.uint8)
        rows = len(batch) if batch.ndim else 0
        fits = batch.shape[1:] == self.input_shape and batch.dtype == dtype
        if not fits or not 1 <= rows <= self.max_batch:
            raise RequestRefused(
                "keeper.input_mismatch",
                "The input is not a batch of this model's type, shape and size.",
                action=f"Send {self.input_dtype} of shape {list(self.input_shape)}, "
                f"1 to {self.max_batch} rows.",
            )
        padded = torch.zeros(1 << (rows - 1).bit_length(), *self.input_shape)
        padded.numpy()[:rows] = batch
        return self._run(padded)[:rows]

    @torch.inference_mode()
    def _run(self, values: torch.Tensor) -> torch.Tensor:
        values = (values - self._config.input_mean) / self._config.input_std
        for layer in self._config.layers:
            values = self._apply(layer, values)
        return values

    def _apply(self, layer: Layer, values: torch.Tensor) -> torch.Tensor:
        match layer:
            case Linear(name):
                return F.linear(values, self._tensors[f"{name}.weight"], self._bias(name))
            case Conv2d(name):
                weight, bias = self._tensors[f"{name}.weight"], self._bias(name)
                return F.conv2d(values, weight, bias, layer.stride, layer.padding)
            case MaxPool2d(size):
                return F.max_pool2d(values, size)
            case Relu():
                return F.relu(values)
            case Flatten():
                return values.flatten(1)

    def _bias(self, name: str) -> torch.Tensor | None:
        return self._tensors.get(f"{name}.bias")
