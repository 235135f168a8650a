"""The forward pass of a Llama-type decoder over rows of several sequences at once.

A row is one token of one sequence. All rows share the matrix products; attention is one call for
all decoding rows (see ``scheduler``'s dense slots) and one for each run of prompt. Row counts are
padded to a few buckets, so that after ``warm_up`` no new machine code is ever generated: oneDNN
compiles per row count, while attention (MKL and vector code) does not compile.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from strongroom.errors import EnvironmentLacks
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.kernels import (
    Head,
    Layer,
    NativeHead,
    NativeLayer,
    PackedHead,
    PackedLayer,
    StoredHead,
    StoredLayer,
)
from strongroom.keeper.engine.kv_cache import KeyValueCache
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.engine.llama_weights import LlamaWeights, collect
from strongroom.keeper.engine.mixed import AdapterBank
from strongroom.keeper.engine.rope import rotate, rotation_table
from strongroom.keeper.engine.scheduler import Plan, padded

Compute = Literal["auto", "float32", "bfloat16", "stored"]
"""``stored``: the arena's tensors where they lie. ``float32`` and ``bfloat16``: packed copies, for
every step; the latter only of bf16 weights. ``auto``: ``bfloat16`` where weights are bf16 and the
CPU multiplies it natively; otherwise ``float32``, except that a step of a single row reads
half-precision weights where they lie, which is faster."""


class LlamaModel:
    """Weights, cache and forward pass; no notion of requests.

    Args:
        compute: see ``Compute``, already ``resolved``.

    Raises:
        ConfigurationRefused: ``keeper.model_tensors_mismatch``.
        EnvironmentLacks: ``keeper.no_onednn`` if packing was asked for and torch lacks oneDNN,
            ``keeper.no_native_bf16`` if bfloat16 was and the processor lacks it.
    """

    def __init__(
        self,
        config: LlamaConfig,
        tensors: Tensors,
        *,
        max_streams: int,
        context_length: int,
        buckets: tuple[int, ...],
        compute: Compute,
    ) -> None:
        self._config, self._buckets = config, buckets
        weights = collect(config, tensors)
        self._embedding = weights.embedding
        self._layers, self._head, self._single = _choose(config, weights, compute)
        self.adapters = AdapterBank(config, weights)
        self.cache = KeyValueCache(config, max_streams, context_length)
        self._turns = rotation_table(config, context_length)
        self._positions = torch.arange(context_length)
        self._width = config.heads * config.head_dim
        self._qk_width = self._width + config.kv_heads * config.head_dim

    def forward(self, plan: Plan, *, changed: bool = False) -> torch.Tensor:
        """Compute a step and fill the cache.

        Args:
            plan: the step.
            changed: go the way of steps with adapters even if none is named, to warm up.

        Returns:
            float32 logits, one row for each decoding job, then one for each segment that ends
            its prompt, in the plan's order.
        """
        tokens, rows, positions = self._gather(plan)
        index = torch.tensor(rows)
        turns = self._turns[torch.tensor(positions)]
        hidden = F.embedding(torch.tensor(tokens), self._embedding).float()
        mask = self._decoding_mask(plan)
        layers = self._single if len(rows) == 1 else self._layers
        changes = self.adapters.changes(_adapters(plan, len(rows)), changed)
        for number, layer in enumerate(layers):
            change = changes[number] if changes else None
            qkv = layer.qkv(hidden)
            if change is not None:
                change.add_qkv(hidden, qkv)
            rotate(qkv[:, : self._qk_width], turns, self._config.head_dim)
            self.cache.write(number, index, qkv[:, self._width :])
            mixed = self._attend(number, plan, qkv[:, : self._width], mask)
            hidden = layer.add_attention(hidden, mixed)
            if change is not None:
                change.add("o_proj", mixed, hidden)
            hidden = layer.add_mlp(hidden, change)
        self._pool(plan, hidden)
        return self._logits(plan, hidden)

    def _pool(self, plan: Plan, hidden: torch.Tensor) -> None:
        """Add up the final hidden states of pooled jobs."""
        at = len(plan.decoding)
        for segment in plan.segments:
            stop = at + segment.stop - segment.start
            if segment.active.job.pooled:
                added = self._head.normed(hidden[at:stop]).sum(dim=0)
                before = segment.active.pooled
                segment.active.pooled = added if before is None else before + added
            at = stop

    def _gather(self, plan: Plan) -> tuple[list[int], list[int], list[int]]:
        """Token, cache row and position of every row, padded to a bucket."""
        tokens = [active.last_token for active in plan.decoding]
        positions = [active.length for active in plan.decoding]
        rows = [self.cache.row(active.slot, active.length) for active in plan.decoding]
        for segment in plan.segments:
            tokens += segment.active.job.tokens[segment.start : segment.stop]
            positions += range(segment.start, segment.stop)
            first = self.cache.row(segment.active.slot, 0)
            rows += range(first + segment.start, first + segment.stop)
        lacking = padded(len(rows), self._buckets) - len(rows)
        tokens += [0] * lacking
        positions += [0] * lacking
        rows += [self.cache.padding_row] * lacking
        return tokens, rows, positions

    def _decoding_mask(self, plan: Plan) -> torch.Tensor | None:
        """Additive mask (n, 1, 1, longest), or None where all have the same length."""
        lengths = [active.length for active in plan.decoding]
        if not lengths or min(lengths) == max(lengths):
            return None
        beyond = self._positions[: max(lengths) + 1] > torch.tensor(lengths)[:, None]
        mask = torch.zeros(beyond.shape).masked_fill_(beyond, float("-inf"))
        return mask[:, None, None, :]

    def _attend(
        self, number: int, plan: Plan, queries: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention of all rows: (rows, heads * head_dim) in, the same out."""
        parts = []
        at = len(plan.decoding)
        if at:
            parts.append(self._attend_decoding(number, plan, queries[:at], mask))
        for segment in plan.segments:
            size = segment.stop - segment.start
            slot, start = segment.active.slot, segment.start
            parts.append(self._attend_segment(number, slot, start, queries[at : at + size]))
            at += size
        if at < queries.shape[0]:
            parts.append(queries.new_zeros(queries.shape[0] - at, self._width))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attend_decoding(
        self, number: int, plan: Plan, queries: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """One query row a sequence. Heads that share a key head become rows of one product."""
        count = len(plan.decoding)
        longest = max(active.length for active in plan.decoding) + 1
        keys, values = self.cache.read(number, 0, count, longest)
        config = self._config
        grouped = queries.reshape(count, config.kv_heads, -1, config.head_dim)
        mixed = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
        return mixed.reshape(count, self._width)

    def _attend_segment(
        self, number: int, slot: int, start: int, queries: torch.Tensor
    ) -> torch.Tensor:
        """A run of one prompt attends to all before it and causally to itself."""
        size = queries.shape[0]
        keys, values = self.cache.read(number, slot, slot + 1, start + size)
        heads = queries.reshape(1, size, -1, self._config.head_dim).transpose(1, 2)
        mask = None
        if start:
            mask = self._positions[: start + size] <= self._positions[start : start + size, None]
        mixed = F.scaled_dot_product_attention(
            heads, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
        )
        return mixed.transpose(1, 2).reshape(size, self._width)

    def _logits(self, plan: Plan, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of the rows that a token is drawn from, computed at a bucket's size."""
        wanted = list(range(len(plan.decoding)))
        at = len(wanted)
        for segment in plan.segments:
            at += segment.stop - segment.start
            if segment.last:
                wanted.append(at - 1)
        if not wanted:
            return hidden.new_empty(0, self._config.vocab_size)
        size = padded(len(wanted), self._buckets)
        if size != hidden.shape[0] or len(wanted) != size:
            hidden = hidden[torch.tensor(wanted + [0] * (size - len(wanted)))]
        return self._head.logits(hidden)[: len(wanted)]


def _adapters(plan: Plan, rows: int) -> list[str | None]:
    """The adapter of every row; padding has none."""
    names = [active.job.adapter for active in plan.decoding]
    for segment in plan.segments:
        names += [segment.active.job.adapter] * (segment.stop - segment.start)
    return names + [None] * (rows - len(names))


def _choose(
    config: LlamaConfig, weights: LlamaWeights, compute: Compute
) -> tuple[list[Layer], Head, list[Layer]]:
    """Layers for many rows, the head, and layers for a single row."""
    dtype = weights.layers[0].q.dtype
    stored: list[Layer] = [StoredLayer(layer, config) for layer in weights.layers]
    if compute == "stored":
        return stored, StoredHead(weights.norm, weights.head, config), stored
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise EnvironmentLacks(
            "keeper.no_onednn",
            "This build of torch has no oneDNN, which packed weights need.",
            action="Install torch's own CPU wheel.",
        )
    if compute == "bfloat16":
        if not native_bf16():
            raise EnvironmentLacks(
                "keeper.no_native_bf16",
                "This processor does not multiply bfloat16 itself, as the bfloat16 kernels do.",
                action="Leave the choice to compute = auto.",
            )
        native: list[Layer] = [NativeLayer(layer, config) for layer in weights.layers]
        return native, NativeHead(weights.norm, weights.head, config), native
    packed: list[Layer] = [PackedLayer(layer, config) for layer in weights.layers]
    single = stored if dtype != torch.float32 and compute == "auto" else packed
    return packed, PackedHead(weights.norm, weights.head, config), single


def resolved(compute: Compute, tensors: Tensors) -> Compute:
    """``bfloat16`` where ``auto`` means that here; otherwise ``compute``."""
    first = tensors.get("model.layers.0.self_attn.q_proj.weight")
    native = first is not None and first.dtype == torch.bfloat16 and native_bf16()
    return "bfloat16" if compute == "auto" and native else compute


def native_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
