"""The sealed description of a classifier: ``config.json`` with model_type strongroom-classifier.

::

    {"model_type": "strongroom-classifier",
     "input_dtype": "F32", "input_shape": [1, 8, 8], "input_range": [0.0, 16.0],
     "input_mean": 8.0, "input_std": 4.0,
     "labels": ["0", "1"],
     "layers": [
       {"type": "conv2d", "name": "first", "channels": 8, "kernel": 3, "stride": 1, "padding": 1},
       {"type": "relu"},
       {"type": "max_pool2d", "size": 2},
       {"type": "flatten"},
       {"type": "linear", "name": "last", "features": 2}]}

Layers run in order on ``(input - input_mean) / input_std`` in float32. A layer with a ``name`` owns
the tensors ``NAME.weight`` and, unless ``"bias": false``, ``NAME.bias``, laid out as in torch's
module of that type. ``input_shape`` is without the batch axis: (features,) or (channels, height,
width). The last layer yields one number for each label. Anything else is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.]{1,100}$")]
Size = Annotated[int, Meta(ge=1, le=65_536)]
Label = Annotated[str, Meta(min_length=1, max_length=100)]


class _Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all layers."""


class Linear(_Layer, frozen=True, tag="linear"):
    """``torch.nn.Linear`` to ``features`` outputs; the input is one axis."""

    name: Name
    features: Size
    bias: bool = True


class Conv2d(_Layer, frozen=True, tag="conv2d"):
    """``torch.nn.Conv2d`` with a square kernel."""

    name: Name
    channels: Size
    kernel: Annotated[int, Meta(ge=1, le=31)]
    stride: Annotated[int, Meta(ge=1, le=31)] = 1
    padding: Annotated[int, Meta(ge=0, le=31)] = 0
    bias: bool = True


class MaxPool2d(_Layer, frozen=True, tag="max_pool2d"):
    """``torch.nn.MaxPool2d`` with stride equal to ``size``."""

    size: Annotated[int, Meta(ge=1, le=31)]


class Relu(_Layer, frozen=True, tag="relu"):
    """``torch.nn.ReLU``."""


class Flatten(_Layer, frozen=True, tag="flatten"):
    """``torch.nn.Flatten``: all axes but the batch become one."""


Layer = Linear | Conv2d | MaxPool2d | Relu | Flatten

MODEL_TYPE: Literal["strongroom-classifier"] = "strongroom-classifier"


class ClassifierConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module. ``input_range`` bounds every input value, both ends included."""

    model_type: Literal["strongroom-classifier"]
    input_dtype: Literal["F32", "U8"]
    input_shape: Annotated[tuple[Size, ...], Meta(min_length=1, max_length=3)]
    input_range: tuple[float, float]
    labels: Annotated[tuple[Label, ...], Meta(min_length=2, max_length=65_536)]
    layers: Annotated[tuple[Layer, ...], Meta(min_length=1, max_length=200)]
    input_mean: float = 0.0
    input_std: Annotated[float, Meta(gt=0)] = 1.0
