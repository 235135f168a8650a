"""Rotary position embeddings as one complex multiplication.

A head's ``d`` numbers are ``d/2`` planes; position ``p`` turns plane ``i`` by ``p·f_i``.
Checkpoints keep the two coordinates of a plane ``d/2`` apart; we keep them side by side (see
``interleave``), so that a rotation of all heads is one in-place complex product. Queries and keys
are permuted alike, hence their scores do not change.

Source: Su et al., RoFormer (2021); Llama 3.1's frequency scaling as its configuration defines it.
"""

from __future__ import annotations

import math

import torch

from strongroom.keeper.engine.llama_config import LlamaConfig, RopeConfig


def frequencies(rope: RopeConfig, head_dim: int) -> torch.Tensor:
    """Angle per position of each plane: float32 (head_dim / 2,)."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).to(torch.float32) / head_dim
    base = 1.0 / (rope.theta**exponents)
    if rope.type == "linear":
        return base / rope.factor
    if rope.type == "llama3":
        return _llama3(base, rope)
    return base


def _llama3(base: torch.Tensor, rope: RopeConfig) -> torch.Tensor:
    """Long waves are slowed by ``factor``, short ones kept, those between blended."""
    turns = rope.original_context * base / (2 * math.pi)
    span = rope.high_freq_factor - rope.low_freq_factor
    kept = ((turns - rope.low_freq_factor) / span).clamp(0.0, 1.0)
    return base * (kept + (1.0 - kept) / rope.factor)


def rotation_table(config: LlamaConfig, positions: int) -> torch.Tensor:
    """Unit complex numbers for each position: complex64 (positions, 1, head_dim / 2)."""
    steps = torch.arange(positions, dtype=torch.float32)
    angles = torch.outer(steps, frequencies(config.rope, config.head_dim))
    return torch.complex(angles.cos(), angles.sin()).unsqueeze(1)


def interleave(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Reorder a projection's output rows so that the two coordinates of a plane are neighbours.

    Shapes: (heads * head_dim, ...) in, the same out.
    """
    heads = rows.shape[0] // head_dim
    split = rows.reshape(heads, 2, head_dim // 2, *rows.shape[1:])
    return split.transpose(1, 2).reshape(rows.shape)


def rotate(qk: torch.Tensor, turns: torch.Tensor, head_dim: int) -> None:
    """Turn interleaved queries and keys in place.

    Shapes: ``qk`` float32 (rows, heads * head_dim), possibly a slice of wider rows; ``turns``
    complex64 (rows, 1, head_dim / 2).
    """
    planes = qk.view(qk.shape[0], -1, head_dim // 2, 2)
    torch.view_as_complex(planes).mul_(turns)
