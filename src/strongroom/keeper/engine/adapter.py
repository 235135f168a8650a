"""A LoRA adapter as it is served, and what it must be before it is.

The change to a weight W (out, in) is ``scale * B A`` with A (rank, in) and B (out, rank). An
adapter is taken whole or not at all; other servers pass over keys that do not match and serve the
bare base without a word:

1. its tensors are exactly A and B of every place that its modules call for, under PEFT's keys;
2. their shapes are those that the base and one rank allow; their type is float;
3. every number is finite, and the scale above zero;
4. no weight changes by more than a share of its own norm;
5. something changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from strongroom.boundary.lora import MODULES, RANK_CAP
from strongroom.errors import ArtifactRefused
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.engine.llama_weights import DTYPES, expected_shapes

_ATTENTION: Final = frozenset(MODULES[:4])

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, repr=False)
class Adapter:
    """``pairs``: ``layers.N.MODULE`` to A (rank, in) and B (out, rank), float32."""

    rank: int
    modules: tuple[str, ...]
    scale: float
    pairs: Mapping[str, Pair]

    def __repr__(self) -> str:
        return f"Adapter(rank {self.rank}, {', '.join(self.modules)}, {len(self.pairs)} places)"


def weight_name(place: str) -> str:
    """The base's tensor that ``layers.N.MODULE`` changes."""
    _, number, module = place.split(".")
    block = "self_attn" if module in _ATTENTION else "mlp"
    return f"model.layers.{number}.{block}.{module}.weight"


def place_shapes(config: LlamaConfig, modules: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """(out, in) of the weight at every place ``layers.N.MODULE`` of ``modules``, in order."""
    shapes = expected_shapes(config)
    found = {}
    for number in range(config.layers):
        for module in MODULES:
            if module in modules:
                place = f"layers.{number}.{module}"
                rows, columns = shapes[weight_name(place)]
                found[place] = (rows, columns)
    return found


def peft_names(place: str) -> tuple[str, str]:
    """PEFT's keys of A and B in ``adapter_model.safetensors``."""
    stem = f"base_model.model.{weight_name(place).removesuffix('.weight')}"
    return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"


def check_adapter(
    config: LlamaConfig,
    base: Tensors,
    tensors: Tensors,
    *,
    rank: int,
    modules: tuple[str, ...],
    scale: float,
    most_change: float = 0.5,
) -> Adapter:
    """Steps 1 to 5.

    Args:
        config: the base's.
        base: the base's tensors; only their norms are looked at.
        tensors: by PEFT's keys.
        rank, modules, scale: of the adapter's configuration.
        most_change: largest norm of a change over its weight's.

    Raises:
        ArtifactRefused: ``keeper.adapter_keys``, ``keeper.adapter_shape``,
            ``keeper.adapter_not_finite``, ``keeper.adapter_too_large``,
            ``keeper.adapter_changes_nothing``.
    """
    if not 1 <= rank <= RANK_CAP or not modules or not set(modules) <= set(MODULES):
        raise _shape()
    if not (math.isfinite(scale) and scale > 0.0):
        raise _not_finite()
    places = place_shapes(config, modules)
    wanted = {name for place in places for name in peft_names(place)}
    if wanted != set(tensors):
        lacking, surplus = len(wanted - set(tensors)), len(set(tensors) - wanted)
        raise ArtifactRefused(  # (1)
            "keeper.adapter_keys",
            f"The adapter lacks {lacking} tensors that its configuration calls for, and has "
            f"{surplus} others.",
            action="Use the adapter as it was saved; nothing of it was loaded.",
        )
    pairs: dict[str, Pair] = {}
    for place, (rows, columns) in places.items():
        a, b = (tensors[name] for name in peft_names(place))
        fits = a.shape == (rank, columns) and b.shape == (rows, rank)
        if not fits or a.dtype not in DTYPES or b.dtype not in DTYPES:  # (2)
            raise _shape()
        pairs[place] = (a.float(), b.float())
    ordered = tuple(name for name in MODULES if name in modules)
    adapter = Adapter(rank, ordered, scale, pairs)
    _require_change(adapter, base, most_change)
    return adapter


def change_norm(pair: Pair, scale: float) -> float:
    """Frobenius norm of ``scale * B A``, without making the product."""
    a, b = (matrix.double() for matrix in pair)
    return scale * float(((b.t() @ b) * (a @ a.t())).sum().clamp(min=0.0).sqrt())


def _require_change(adapter: Adapter, base: Tensors, most: float) -> None:
    """Steps 3 to 5."""
    largest = 0.0
    for place, pair in adapter.pairs.items():
        if not all(bool(torch.isfinite(matrix).all()) for matrix in pair):
            raise _not_finite()
        norm = float(torch.linalg.vector_norm(base[weight_name(place)].float()))
        largest = max(largest, change_norm(pair, adapter.scale) / max(norm, 1e-30))
    if not largest <= most:
        raise ArtifactRefused(
            "keeper.adapter_too_large",
            f"The adapter changes a weight by {largest:.2g} of its norm; {most:.2g} is allowed.",
            action="Train it again with a lower learning rate or fewer steps.",
        )
    if largest == 0.0:
        raise ArtifactRefused(
            "keeper.adapter_changes_nothing",
            "The adapter changes nothing: all its products are zero.",
            action="Train it before it is served.",
        )


def _not_finite() -> ArtifactRefused:
    return ArtifactRefused(
        "keeper.adapter_not_finite",
        "The adapter holds numbers that are not finite, or a scale that is not positive.",
        action="Train it again with a lower learning rate.",
    )


def _shape() -> ArtifactRefused:
    return ArtifactRefused(
        "keeper.adapter_shape",
        "A tensor of the adapter has a shape or type that its base and rank do not allow.",
        action="Use the adapter as it was saved; nothing of it was loaded.",
    )
