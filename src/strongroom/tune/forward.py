"""The training step of a Llama-type decoder: frozen weights, low-rank matrices that learn.

The same numbers as ``keeper.engine`` computes, but differentiable, over whole conversations. Our
own because the plaintext process has neither transformers nor PEFT, and because a step that knows
that the weights are frozen does less: nothing is kept for their gradients, the head is asked only
where a token is learnt, and its gradient is computed at once, a chunk of rows at a time.

Products are in bf16 where the weights are and the processor multiplies it in hardware, else in
float32, for which a matrix is widened at each product: bf16 without instructions for it is up to 30
times as slow. The residual stream, norms, rotations, softmax and loss are in float32; the low-rank
matrices are float32 and cast for a product.

Source: Hu et al. 2022, arXiv 2106.09685 (LoRA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.engine.llama_model import resolved
from strongroom.keeper.engine.llama_weights import LayerWeights, collect
from strongroom.keeper.engine.rope import frequencies

HEAD_ROWS: Final = 256
"""Rows of logits that exist at once."""

Pair = tuple[Tensor, Tensor]
"""A (rank, in) and B (out, rank), float32."""


class _Frozen(torch.autograd.Function):
    """``x W^T + bias`` for rows x; W and bias are frozen. What is kept is W, not W widened."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _frozen(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        (towards,) = grads
        return towards @ weight.to(towards.dtype), None, None


class _LowRank(torch.autograd.Function):
    """``x W^T + bias + scale (x A^T) B^T`` for rows x; W and bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        a, b = a.to(x.dtype), b.to(x.dtype)
        inner = x @ a.t()
        out = _frozen(x, weight, bias)
        out.addmm_(inner, b.t(), alpha=scale)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        (towards,) = grads
        to_inner = (towards @ b).mul_(ctx.scale)
        to_b = (towards.t() @ inner).float().mul_(ctx.scale)
        to_a = (to_inner.t() @ x).float()
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = towards @ weight.to(towards.dtype)
            to_x.addmm_(to_inner, a)
        return to_x, None, None, to_a, to_b, None


class _Norm(torch.autograd.Function):
    """RMS norm with a frozen gain; float32 in, ``dtype`` out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        inverse = (x.square().mean(-1, keepdim=True) + eps).rsqrt_()
        ctx.save_for_backward(x, gain, inverse)
        return (x * inverse).mul_(gain).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, inverse = ctx.saved_tensors
        wanted = grads[0].float() * gain
        unit = x * inverse
        along = (wanted * unit).mean(-1, keepdim=True)
        return (wanted - unit.mul_(along)).mul_(inverse), None, None, None


class _Loss(torch.autograd.Function):
    """Summed cross-entropy of rows under a frozen head; the gradient is made on the way."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, wanted: Tensor) -> Tensor:
        towards = torch.empty_like(hidden)
        head = head.to(hidden.dtype)
        total = hidden.new_zeros((), dtype=torch.float64)
        for at in range(0, len(hidden), HEAD_ROWS):
            rows, targets = hidden[at : at + HEAD_ROWS], wanted[at : at + HEAD_ROWS, None]
            logits = F.linear(rows, head).float()
            size = logits.logsumexp(-1, keepdim=True)
            total += (size - logits.gather(1, targets)).sum(dtype=torch.float64)
            logits.sub_(size).exp_()
            logits.scatter_add_(1, targets, torch.full_like(size, -1.0))
            towards[at : at + HEAD_ROWS] = logits.to(hidden.dtype) @ head
        ctx.save_for_backward(towards)
        return total.float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (towards,) = ctx.saved_tensors
        return towards * grads[0].to(towards.dtype), None, None


@dataclass(frozen=True, slots=True)
class Rows:
    """Some conversations of similar length, padded at the end.

    ``ids`` int64 (n, length); ``places`` int64 (k,) into the flattened positions whose next token
    is learnt, and ``wanted`` int64 (k,) those tokens.
    """

    ids: Tensor
    places: Tensor
    wanted: Tensor


def rows_of(examples: Sequence[tuple[Sequence[int], Sequence[bool]]]) -> Rows:
    """Pad and flatten ``examples`` (ids, learnt)."""
    length = max(len(ids) for ids, _ in examples)
    padded = torch.zeros(len(examples), length, dtype=torch.long)
    places, wanted = [], []
    for number, (ids, learnt) in enumerate(examples):
        padded[number, : len(ids)] = torch.tensor(ids)
        for at in range(1, len(ids)):
            if learnt[at]:
                places.append(number * length + at - 1)
                wanted.append(ids[at])
    return Rows(padded, torch.tensor(places), torch.tensor(wanted))


class Decoder:
    """Frozen weights, and how they are computed with low-rank matrices beside them.

    Args:
        tensors: name to tensor, as ``keeper.engine`` takes them; only read.
        scale: by which ``B A`` is multiplied.

    Raises:
        ConfigurationRefused: ``keeper.model_tensors_mismatch``.
    """

    def __init__(self, config: LlamaConfig, tensors: Tensors, scale: float = 2.0) -> None:
        self.config, self.scale = config, scale
        self._weights = collect(config, tensors)
        native = resolved("auto", tensors) == "bfloat16"
        self._dtype = torch.bfloat16 if native else torch.float32
        self._angles = frequencies(config.rope, config.head_dim)

    def loss(self, rows: Rows, pairs: Mapping[str, Pair]) -> Tensor:
        """Summed loss of the tokens that are learnt.

        Args:
            rows: at least one token of them is learnt.
            pairs: ``layers.N.MODULE`` to its matrices; a place without has none.
        """
        hidden = self.hidden(rows.ids, pairs)[rows.places]
        return self._head_loss(hidden, rows.wanted)

    @torch.no_grad()
    def losses(self, rows: Rows, pairs: Mapping[str, Pair]) -> Tensor:
        """Summed loss of each conversation's learnt tokens, float64 (n,); not for training."""
        hidden = self._norm(self.hidden(rows.ids, pairs)[rows.places], self._weights.norm)
        head = self._weights.head.to(hidden.dtype)
        whose = rows.places // rows.ids.shape[1]
        found = torch.zeros(len(rows.ids), dtype=torch.float64)
        for at in range(0, len(hidden), HEAD_ROWS):
            part = slice(at, at + HEAD_ROWS)
            logits = F.linear(hidden[part], head).float()
            each = F.cross_entropy(logits, rows.wanted[part], reduction="none")
            found.index_add_(0, whose[part], each.double())
        return found

    def logits(self, ids: Tensor, pairs: Mapping[str, Pair]) -> Tensor:
        """float32 (n, length, vocab) of ids (n, length); for checks, not for training."""
        hidden = self._norm(self.hidden(ids, pairs), self._weights.norm)
        found = _frozen(hidden, self._weights.head, None).float()
        return found.view(*ids.shape, -1)

    def hidden(self, ids: Tensor, pairs: Mapping[str, Pair]) -> Tensor:
        """The residual stream after the last layer, float32 (n * length, hidden_size)."""
        stream = F.embedding(ids.flatten(), self._weights.embedding).float()
        turns = self._turns(ids.shape[1])
        for number, layer in enumerate(self._weights.layers):
            near = f"layers.{number}."
            stream = stream + self._attention(stream, layer, near, pairs, turns, ids.shape)
            stream = stream + self._mlp(stream, layer, near, pairs)
        return stream

    def _head_loss(self, hidden: Tensor, wanted: Tensor) -> Tensor:
        apply: Any = _Loss.apply
        found: Tensor = apply(self._norm(hidden, self._weights.norm), self._weights.head, wanted)
        return found

    def _norm(self, x: Tensor, gain: Tensor) -> Tensor:
        apply: Any = _Norm.apply
        found: Tensor = apply(x, gain.float(), self.config.norm_eps, self._dtype)
        return found

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None, pair: Pair | None) -> Tensor:
        apply: Any = _Frozen.apply if pair is None else _LowRank.apply
        found: Tensor = apply(x, weight, bias, *(() if pair is None else (*pair, self.scale)))
        return found

    def _turns(self, length: int) -> Pair:
        """Cosines and sines, (1, length, 1, head_dim / 2)."""
        angles = torch.outer(torch.arange(length, dtype=torch.float32), self._angles)
        return angles.cos()[None, :, None], angles.sin()[None, :, None]

    def _attention(
        self,
        stream: Tensor,
        layer: LayerWeights,
        near: str,
        pairs: Mapping[str, Pair],
        turns: Pair,
        shape: torch.Size,
    ) -> Tensor:
        size = self.config.head_dim
        x = self._norm(stream, layer.input_norm)
        q = self._linear(x, layer.q, layer.q_bias, pairs.get(near + "q_proj"))
        k = self._linear(x, layer.k, layer.k_bias, pairs.get(near + "k_proj"))
        v = self._linear(x, layer.v, layer.v_bias, pairs.get(near + "v_proj"))
        q, k, v = (each.view(*shape, -1, size) for each in (q, k, v))
        mixed = F.scaled_dot_product_attention(
            _turned(q, turns).transpose(1, 2),
            _turned(k, turns).transpose(1, 2),
            v.transpose(1, 2),
            is_causal=True,
            enable_gqa=self.config.heads != self.config.kv_heads,
        )
        mixed = mixed.transpose(1, 2).reshape(shape.numel(), -1)
        return self._linear(mixed, layer.out, layer.out_bias, pairs.get(near + "o_proj")).float()

    def _mlp(
        self, stream: Tensor, layer: LayerWeights, near: str, pairs: Mapping[str, Pair]
    ) -> Tensor:
        x = self._norm(stream, layer.post_norm)
        gate = self._linear(x, layer.gate, None, pairs.get(near + "gate_proj"))
        up = self._linear(x, layer.up, None, pairs.get(near + "up_proj"))
        inner = F.silu(gate) * up
        return self._linear(inner, layer.down, None, pairs.get(near + "down_proj")).float()


def _turned(heads: Tensor, turns: Pair) -> Tensor:
    """Rotary embedding of (n, length, heads, head_dim), the planes' coordinates half apart."""
    cosine, sine = turns
    first, second = heads.float().chunk(2, -1)
    turned = torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)
    return turned.to(heads.dtype)


def _frozen(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
