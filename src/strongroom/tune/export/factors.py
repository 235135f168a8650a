"""The form in which an adapter leaves: the singular value decomposition of ``B A``, in bf16.

Whoever holds the A that training ended with solves what entered the layer from B. ``B A`` alone has
infinitely many factors; these two are the one balanced pair that every holder of the product could
compute: ``B' = U sqrt(S)``, ``A' = sqrt(S) V^T``, by falling singular values, each column of U with
its largest entry positive. bf16 keeps 8 bits of each number.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from strongroom.keeper.engine.adapter import Pair, peft_names


def canonical_factors(pair: Pair) -> Pair:
    """(A', B') of A (rank, in) and B (out, rank), bf16; the same shapes, the same product."""
    left, values, right = product_svd(pair)
    signs = left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    signs[signs == 0] = 1.0
    root = values.sqrt()
    return (
        (root[:, None] * (right * signs.t())).to(torch.bfloat16).contiguous(),
        (left * signs * root).to(torch.bfloat16).contiguous(),
    )


def product_svd(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """U (out, rank), S (rank,) and V^T (rank, in) of ``B A``, float64, without making it."""
    a, b = (matrix.double() for matrix in pair)
    of_b, upper_b = torch.linalg.qr(b)
    of_a, upper_a = torch.linalg.qr(a.t())
    left, values, right = torch.linalg.svd(upper_b @ upper_a.t(), full_matrices=False)
    return of_b @ left, values, right @ of_a.t()


def exported(pairs: Mapping[str, Pair]) -> dict[str, Tensor]:
    """All matrices as they leave, under PEFT's names."""
    found: dict[str, Tensor] = {}
    for place, pair in pairs.items():
        found |= dict(zip(peft_names(place), canonical_factors(pair), strict=True))
    return found
