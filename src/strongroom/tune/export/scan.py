"""A look at an adapter's matrices alone. It advises; nothing is decided by it.

Flagged is a place where

1. the change is a larger or smaller share of its weight than at the same module of the other
   layers, by more than ``_FAR`` robust standard deviations (median and median absolute deviation);
2. nearly all of the change is one direction (``_ALONE`` of its squared norm).

Both are what crude edits leave (one layer, one direction). A backdoor that was trained like any
other adapter has neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import torch

from strongroom.keeper.engine.adapter import Adapter, weight_name
from strongroom.keeper.engine.interface import Tensors
from strongroom.tune.export.factors import product_svd
from strongroom.tune.export.wire import Place

_FAR: Final = 8.0
_ALONE: Final = 0.95
LAYERS: Final = 4
"""Fewer layers than this say nothing about which of them is unlike the rest."""


def scan(adapter: Adapter, base: Tensors) -> list[Place]:
    """Every place of ``adapter``, in order."""
    found = []
    for place, pair in adapter.pairs.items():
        values = adapter.scale * product_svd(pair)[1]
        norm = float(torch.linalg.vector_norm(values))
        weight = float(torch.linalg.vector_norm(base[weight_name(place)].float()))
        first = float(values[0])
        ratio = float(values[1]) / first if len(values) > 1 and first else 0.0
        alone = first**2 / norm**2 if norm else 1.0
        found.append(Place(place, norm / max(weight, 1e-30), alone, ratio))
    far = _far(found)
    return [msgspec.structs.replace(each, flag=_flag(each, each.place in far)) for each in found]


def _flag(place: Place, far: bool) -> str:
    if far:
        return "size unlike other layers'"
    return "one direction" if place.alone > _ALONE else ""


def _far(places: Sequence[Place]) -> set[str]:
    """Places whose change is unlike that of the same module elsewhere."""
    modules: dict[str, list[Place]] = {}
    for each in places:
        modules.setdefault(each.place.rpartition(".")[2], []).append(each)
    found: set[str] = set()
    for same in modules.values():
        if len(same) < LAYERS:
            continue
        logs = np.log(np.array([max(each.change, 1e-30) for each in same]))
        off = np.abs(logs - np.median(logs))
        scale = max(1.4826 * float(np.median(off)), 0.05)
        found |= {each.place for each, by in zip(same, off, strict=True) if by > _FAR * scale}
    return found
