"""A decoder layer's matrices in the forms that are fast on a CPU.

``Packed`` copies the weights once to float32 in the blocked order that oneDNN multiplies fastest
(twice the bytes of bf16 weights, beside the sealed arena). It fuses what it can: norm gains go
into the next matrix (a product of two bf16 numbers is exact in float32), q, k and v are one
matrix, and SiLU, the gate's product and the residual sums run inside the multiplications.
On CPUs without bf16 instructions it is several times faster than bf16 for two rows or more.

``Native`` copies bf16 weights once to the blocked order for the CPU's own bf16 instructions
(AVX-512 BF16, AMX), where there are any. Norm gains stay apart, as folding them would round.

``Stored`` multiplies the arena's tensors where they lie and copies nothing. It reads half the
bytes of ``Packed``, which decides when a single row is computed.

All keep the residual stream, norms, rotations and attention in float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F

from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.engine.llama_weights import LayerWeights
from strongroom.keeper.engine.mixed import Change
from strongroom.keeper.engine.rope import interleave

PACK_ROWS = 16
"""The row count that oneDNN is asked to lay the weights out for; measured good from 2 to 128."""


class Layer(ABC):
    """The matrices of one layer. ``hidden`` is float32 (rows, hidden_size) throughout."""

    @abstractmethod
    def qkv(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normed projections, q and k interleaved.

        Shapes: float32 (rows, (heads + 2 * kv_heads) * head_dim).
        """

    @abstractmethod
    def add_attention(self, hidden: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """``hidden`` plus the output projection of ``mixed`` (rows, heads * head_dim)."""

    @abstractmethod
    def add_mlp(self, hidden: torch.Tensor, change: Change | None = None) -> torch.Tensor:
        """``hidden`` plus its gated feed-forward, with what adapters change in it."""


class Head(ABC):
    """The final norm and the vocabulary's matrix."""

    def __init__(self, norm: torch.Tensor, config: LlamaConfig) -> None:
        self._eps, self._gain = torch.tensor(config.norm_eps), norm.float()

    def normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states behind the final norm, float32."""
        return normed_rows(hidden, self._eps).mul_(self._gain)

    @abstractmethod
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 (rows, vocab_size)."""


def pack(matrix: torch.Tensor) -> torch.Tensor:
    """An (out, in) matrix in oneDNN's blocked order (opaque; only for ``_pointwise``)."""
    reorder: Any = torch.ops.mkldnn._reorder_linear_weight
    packed: torch.Tensor = reorder(matrix.contiguous(), PACK_ROWS)
    return packed


def normed_rows(hidden: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    """RMS norm without gain: each row over the root of its mean square plus ``eps``.

    The same numbers as ``F.rms_norm``, in about half its time on CPU.
    """
    length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
    return hidden * torch.addcmul(eps, length, length, value=1 / hidden.shape[-1]).rsqrt_()


_pointwise: Any = torch.ops.mkldnn._linear_pointwise


class PackedLayer(Layer):
    """See the module: float32, packed, fused."""

    def __init__(self, weights: LayerWeights, config: LlamaConfig) -> None:
        self._eps = torch.tensor(config.norm_eps)
        gain, post_gain = weights.input_norm.float(), weights.post_norm.float()
        q, k = (interleave(w.float(), config.head_dim) for w in (weights.q, weights.k))
        self._qkv = pack(torch.cat([q, k, weights.v.float()]) * gain)
        self._qkv_bias = _joined_bias(weights, config)
        self._out = pack(weights.out.float())
        self._out_bias = None if weights.out_bias is None else weights.out_bias.float()
        self._gate = pack(weights.gate.float() * post_gain)
        self._up = pack(weights.up.float() * post_gain)
        self._down = pack(weights.down.float())

    def qkv(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Layer``."""
        normed = normed_rows(hidden, self._eps)
        out: torch.Tensor = _pointwise(normed, self._qkv, self._qkv_bias, "none", [], "")
        return out

    def add_attention(self, hidden: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """See ``Layer``."""
        out: torch.Tensor = _pointwise.binary(mixed, hidden, self._out, self._out_bias, "add")
        return out

    def add_mlp(self, hidden: torch.Tensor, change: Change | None = None) -> torch.Tensor:
        """See ``Layer``."""
        normed = normed_rows(hidden, self._eps)
        if change is None:
            gate = _pointwise(normed, self._gate, None, "swish", [], "")
            gated = _pointwise.binary(normed, gate, self._up, None, "mul")
        else:
            gate = _pointwise(normed, self._gate, None, "none", [], "")
            gated = change.gated(normed, gate, _pointwise(normed, self._up, None, "none", [], ""))
        out: torch.Tensor = _pointwise.binary(gated, hidden, self._down, None, "add")
        return out if change is None else change.add("down_proj", gated, out)


class PackedHead(Head):
    """The vocabulary's matrix, float32, packed, with the final norm's gain inside."""

    def __init__(self, norm: torch.Tensor, matrix: torch.Tensor, config: LlamaConfig) -> None:
        super().__init__(norm, config)
        self._matrix = pack(matrix.float() * self._gain)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Head``."""
        normed = normed_rows(hidden, self._eps)
        out: torch.Tensor = _pointwise(normed, self._matrix, None, "none", [], "")
        return out


class NativeLayer(Layer):
    """See the module: bf16, packed, fused."""

    def __init__(self, weights: LayerWeights, config: LlamaConfig) -> None:
        self._eps = torch.tensor(config.norm_eps)
        self._input_gain, self._post_gain = weights.input_norm.float(), weights.post_norm.float()
        q, k = (interleave(w, config.head_dim) for w in (weights.q, weights.k))
        self._qkv = pack(torch.cat([q, k, weights.v]))
        self._bias = _joined_bias(weights, config)
        self._out, self._out_bias = pack(weights.out), weights.out_bias
        self._gate, self._up, self._down = (
            pack(matrix) for matrix in (weights.gate, weights.up, weights.down)
        )

    def qkv(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Layer``."""
        normed = normed_rows(hidden, self._eps).mul_(self._input_gain).bfloat16()
        out: torch.Tensor = _pointwise(normed, self._qkv, None, "none", [], "").float()
        return out if self._bias is None else out.add_(self._bias)

    def add_attention(self, hidden: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """See ``Layer``."""
        out: torch.Tensor = _pointwise(mixed.bfloat16(), self._out, self._out_bias, "none", [], "")
        return hidden + out

    def add_mlp(self, hidden: torch.Tensor, change: Change | None = None) -> torch.Tensor:
        """See ``Layer``."""
        unit = normed_rows(hidden, self._eps)
        normed = (unit * self._post_gain).bfloat16()
        if change is None:
            gate = _pointwise(normed, self._gate, None, "swish", [], "")
            gated = _pointwise.binary(normed, gate, self._up, None, "mul")
        else:
            gate = _pointwise(normed, self._gate, None, "none", [], "").float()
            up = _pointwise(normed, self._up, None, "none", [], "").float()
            gated = change.gated(unit, gate, up)
        out: torch.Tensor = _pointwise(gated.bfloat16(), self._down, None, "none", [], "")
        return hidden + out if change is None else change.add("down_proj", gated, hidden + out)


class NativeHead(Head):
    """The vocabulary's matrix, bf16, packed."""

    def __init__(self, norm: torch.Tensor, matrix: torch.Tensor, config: LlamaConfig) -> None:
        super().__init__(norm, config)
        self._matrix = pack(matrix)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Head``."""
        normed = self.normed(hidden).bfloat16()
        out: torch.Tensor = _pointwise(normed, self._matrix, None, "none", [], "")
        return out.float()


class StoredLayer(Layer):
    """See the module: the arena's own tensors, in their own dtype."""

    def __init__(self, weights: LayerWeights, config: LlamaConfig) -> None:
        self._weights, self._head_dim = weights, config.head_dim
        self._eps = torch.tensor(config.norm_eps)
        self._input_gain, self._post_gain = weights.input_norm.float(), weights.post_norm.float()
        self._bias = _joined_bias(weights, config)
        self._half = config.head_dim // 2

    def qkv(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Layer``."""
        weights = self._weights
        normed = normed_rows(hidden, self._eps).mul_(self._input_gain).to(weights.q.dtype)
        qk = torch.cat([F.linear(normed, weights.q), F.linear(normed, weights.k)], -1)
        planes = qk.view(qk.shape[0], -1, 2, self._half).transpose(-1, -2).flatten(1)
        out = torch.cat([planes, F.linear(normed, weights.v)], -1).float()
        return out if self._bias is None else out.add_(self._bias)

    def add_attention(self, hidden: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """See ``Layer``."""
        weights = self._weights
        return hidden + F.linear(mixed.to(weights.out.dtype), weights.out, weights.out_bias)

    def add_mlp(self, hidden: torch.Tensor, change: Change | None = None) -> torch.Tensor:
        """See ``Layer``."""
        weights = self._weights
        unit = normed_rows(hidden, self._eps)
        normed = (unit * self._post_gain).to(weights.gate.dtype)
        gate, up = F.linear(normed, weights.gate), F.linear(normed, weights.up)
        if change is None:
            return hidden + F.linear(F.silu(gate).mul_(up), weights.down)
        gated = change.gated(unit, gate.float(), up.float())
        out = hidden + F.linear(gated.to(weights.down.dtype), weights.down)
        return change.add("down_proj", gated, out)


class StoredHead(Head):
    """The vocabulary's matrix where it lies."""

    def __init__(self, norm: torch.Tensor, matrix: torch.Tensor, config: LlamaConfig) -> None:
        super().__init__(norm, config)
        self._matrix = matrix

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Head``."""
        return F.linear(self.normed(hidden).to(self._matrix.dtype), self._matrix).float()


def _joined_bias(weights: LayerWeights, config: LlamaConfig) -> torch.Tensor | None:
    """The bias of q, k and v as one float32 vector, q and k interleaved like their matrices."""
    if weights.q_bias is None or weights.k_bias is None or weights.v_bias is None:
        return None
    q, k = (interleave(b.float(), config.head_dim) for b in (weights.q_bias, weights.k_bias))
    return torch.cat([q, k, weights.v_bias.float()])
