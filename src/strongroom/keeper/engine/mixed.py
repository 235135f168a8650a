"""Adapters of different requests in one step.

A row's adapter adds ``scale (x A^T) B^T`` to what its base computes. The A of all adapters that a
step needs stand above one another, and so do their B: two plain products serve every row, and
between them what belongs to another row's adapter is set to zero. So the cost grows with the
adapters in a step, not with those loaded, and ranks and modules may differ.

Norm gains are multiplied into A and q and k are interleaved in B when an adapter is loaded, as the
kernels do with the base. Products here are float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from strongroom.boundary.lora import MODULES
from strongroom.keeper.engine.adapter import Adapter
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.engine.llama_weights import LlamaWeights
from strongroom.keeper.engine.rope import interleave

Pair = tuple[Tensor, Tensor]
"""A^T (in, rank) and ``scale B^T`` (rank, out), as they are multiplied."""

_QKV = MODULES[:3]


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """What the adapters of a step change in one layer.

    ``pairs``: by module, all adapters' joined along the rank. ``foreign``: by module, bool (rows,
    ranks), true where a rank is not of the row's adapter. ``ends``: where q, k and v end.
    """

    pairs: Mapping[str, Pair]
    foreign: Mapping[str, Tensor]
    eps: float
    ends: tuple[int, int, int]

    def add(self, module: str, x: Tensor, out: Tensor) -> Tensor:
        """``out``, with the change for inputs ``x`` added in place."""
        if module in self.pairs:
            a, b = self.pairs[module]
            inner = (x.float() @ a).masked_fill_(self.foreign[module], 0.0)
            out.addmm_(inner, b)
        return out

    def add_qkv(self, hidden: Tensor, qkv: Tensor) -> None:
        """The same for q, k and v, in place, from the residual stream."""
        unit = F.rms_norm(hidden, hidden.shape[-1:], eps=self.eps)
        at = 0
        for module, end in zip(_QKV, self.ends, strict=True):
            self.add(module, unit, qkv[:, at:end])
            at = end

    def gated(self, unit: Tensor, gate: Tensor, up: Tensor) -> Tensor:
        """The inner activation from normed rows without gain and the base's products, float32."""
        gate = self.add("gate_proj", unit, gate)
        return F.silu(gate).mul_(self.add("up_proj", unit, up))


class AdapterBank:
    """The loaded adapters of one model. Names are the caller's: of tenant and adapter."""

    def __init__(self, config: LlamaConfig, weights: LlamaWeights) -> None:
        self._config = config
        self._gains = [
            (layer.input_norm.float(), layer.post_norm.float()) for layer in weights.layers
        ]
        q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self._ends = (q, q + kv, q + 2 * kv)
        self._loaded: dict[str, list[dict[str, Pair]]] = {}
        self._joined: tuple[tuple[str, ...], list[dict[str, Pair]]] = ((), [])

    def __contains__(self, name: str) -> bool:
        return name in self._loaded

    def load(self, name: str, adapter: Adapter) -> bool:
        """False if the name is taken."""
        if name in self._loaded:
            return False
        self._loaded[name] = [
            {module: self._pair(number, module, adapter) for module in adapter.modules}
            for number in range(self._config.layers)
        ]
        return True

    def unload(self, name: str) -> bool:
        """False if it is not loaded. Nothing of it is kept."""
        if name in self._joined[0]:
            self._joined = ((), [])
        return self._loaded.pop(name, None) is not None

    def changes(self, rows: Sequence[str | None], always: bool = False) -> list[Change] | None:
        """For every layer, given each row's adapter; None if no row has one, unless ``always``."""
        names = tuple(sorted({name for name in rows if name is not None}))
        if not names:
            nothing = Change({}, {}, self._config.norm_eps, self._ends)
            return [nothing] * self._config.layers if always else None
        if self._joined[0] != names:
            self._joined = (names, self._join(names))
        joined = self._joined[1]
        mine = torch.tensor([-1 if name is None else names.index(name) for name in rows])
        foreign = {
            module: mine[:, None] != self._owners(names, module)[None, :] for module in joined[0]
        }
        return [Change(pairs, foreign, self._config.norm_eps, self._ends) for pairs in joined]

    def _pair(self, number: int, module: str, adapter: Adapter) -> Pair:
        a, b = adapter.pairs[f"layers.{number}.{module}"]
        before, after = self._gains[number]
        if module in _QKV:
            a = a * before
        if module in ("gate_proj", "up_proj"):
            a = a * after
        if module in _QKV[:2]:
            b = interleave(b, self._config.head_dim)
        return a.t().contiguous(), (adapter.scale * b).t().contiguous()

    def _join(self, names: tuple[str, ...]) -> list[dict[str, Pair]]:
        layers = []
        for number in range(self._config.layers):
            having = [self._loaded[name][number] for name in names]
            layers.append(
                {
                    module: (
                        torch.cat([pairs[module][0] for pairs in having if module in pairs], 1),
                        torch.cat([pairs[module][1] for pairs in having if module in pairs]),
                    )
                    for module in MODULES
                    if any(module in pairs for pairs in having)
                }
            )
        return layers

    def _owners(self, names: tuple[str, ...], module: str) -> Tensor:
        """Of each rank of a joined module, which of ``names`` it belongs to."""
        owners: list[int] = []
        for at, name in enumerate(names):
            pairs = self._loaded[name][0]
            if module in pairs:
                owners += [at] * len(pairs[module][1])
        return torch.tensor(owners)
