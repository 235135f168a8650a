"""How an adapter begins, and its form in PEFT's format.

A is drawn from a secret seed with a generator of hashes (SHAKE-256), not with torch's, whose state
a few outputs give away: whoever knows A reads from B what entered the layer. B begins at zero.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor

from strongroom.keeper.engine.adapter import Adapter, peft_names, place_shapes
from strongroom.keeper.engine.llama_config import LlamaConfig

SEED_BYTES: Final = 32
SCALE: Final = 2.0


@dataclass(frozen=True, slots=True, repr=False)
class Seed:
    """What A is drawn from, and the order of batches. Never shown, never exported."""

    value: bytes = field(default_factory=lambda: secrets.token_bytes(SEED_BYTES))

    def __repr__(self) -> str:
        return "Seed(secret)"

    def uniform(self, label: str, count: int) -> np.ndarray:
        """``count`` float32 numbers in [-1, 1), another stream for each label."""
        stream = hashlib.shake_256(b"strongroom draw\0" + self.value + label.encode())
        words = np.frombuffer(stream.digest(4 * count), dtype="<u4")
        return ((words >> 8).astype(np.float32) - 2**23) / np.float32(2**23)

    def normal(self, label: str, count: int) -> np.ndarray:
        """``count`` float32 numbers of the standard normal distribution, by Box and Muller.

        Each is half the sum of four, of 53 bits, so that its low bits do not tell the number that
        it was added to (Mironov 2012; Holohan and Braghin 2021, arXiv 2107.10138).
        """
        total = np.zeros(count)
        for part in range(4):
            radius, angle = self._words(f"normal {part} {label}", 2 * (-(-count // 2))).reshape(
                2, -1
            )
            size = np.sqrt(-2 * np.log(((radius >> 11) + 1) * 2.0**-53))
            turned = (angle >> 11) * (2 * math.pi * 2.0**-53)
            both = np.concatenate((size * np.cos(turned), size * np.sin(turned)))
            total += both[:count]
        return (total / 2).astype(np.float32)

    def chosen(self, label: str, count: int, share: float) -> list[int]:
        """Those of ``range(count)`` that are in a sample which takes each with chance ``share``."""
        if share >= 1:
            return list(range(count))
        return [
            int(at) for at in np.flatnonzero(self._words(label, count) < np.uint64(share * 2.0**64))
        ]

    def _words(self, label: str, count: int) -> np.ndarray:
        stream = hashlib.shake_256(b"strongroom words\0" + self.value + label.encode())
        return np.frombuffer(stream.digest(8 * count), dtype="<u8")

    def order(self, label: str, count: int) -> list[int]:
        """A permutation of ``range(count)``, another for each label."""
        stream = hashlib.shake_256(b"strongroom order\0" + self.value + label.encode())
        keys = np.frombuffer(stream.digest(8 * count), dtype="<u8")
        return [int(at) for at in np.argsort(keys, kind="stable")]


def fresh(config: LlamaConfig, modules: tuple[str, ...], rank: int, seed: Seed) -> Adapter:
    """A as PEFT draws it (uniform, of variance 1 / (3 in)), B zero: it changes nothing yet."""
    pairs = {}
    for place, (rows, columns) in place_shapes(config, modules).items():
        drawn = seed.uniform(place, rank * columns) / np.float32(math.sqrt(columns))
        a = torch.from_numpy(drawn.reshape(rank, columns))
        pairs[place] = (a, torch.zeros(rows, rank))
    return Adapter(rank, modules, SCALE, pairs)


def peft_tensors(adapter: Adapter) -> dict[str, Tensor]:
    """The adapter's tensors under PEFT's keys."""
    found: dict[str, Tensor] = {}
    for place, pair in adapter.pairs.items():
        found |= dict(zip(peft_names(place), pair, strict=True))
    return found


def peft_config(adapter: Adapter, base: str) -> bytes:
    """``adapter_config.json`` as PEFT reads it; ``base`` is the opaque id of the base."""
    document = {
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": int(adapter.scale * adapter.rank),
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": adapter.rank,
        "target_modules": sorted(adapter.modules),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
