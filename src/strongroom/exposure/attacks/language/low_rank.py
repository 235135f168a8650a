"""The base weight of merged low-rank adapters, in closed form.

Given W_i = W + B_i A_i for three merges or more, with adapters of low rank trained on their own:

1. the difference W_i - W_j = B_i A_i - B_j A_j has rank r_i + r_j; three differences give three
   sums, and with them each rank;
2. the columns of B_i lie in the column spaces of W_i - W_j and of W_i - W_k, and in general in
   nothing else that both share: their intersection, by the principal angles, is a basis P_i;
3. [P_i P_j] has full rank, so least squares splits W_i - W_j into P_i C_i - P_j C_j, where
   P_i C_i = B_i A_i;
4. W = W_i - P_i C_i; the mean over i averages what rounding did.

Column spaces come from a sketch (Halko, Martinsson, Tropp 2011, arXiv 0909.4061): a difference
times a few random columns, one power step, and QR; a full SVD is never needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.exposure.interface import Floats

_SHARPEST = 4.0
"""Least ratio between the last singular value that counts and the first of the rounding noise."""

_SAME = 0.95
"""Cosine of a principal angle from which on two spaces share a direction."""


@dataclass(frozen=True)
class Recovered:
    """``base`` (out, in) float64; ``ranks`` of the adapters of the three merges that were used."""

    base: Floats
    ranks: tuple[int, int, int]


def recover(merges: Sequence[Floats], *, seed: int = 0, width: int = 40) -> Recovered | None:
    """The base of at least three merges of one weight, each (out, in); None if they do not tell.

    They do not where the adapters fill the space, share directions, or are below rounding.

    Raises:
        ValueError: fewer than three merges.
    """
    if len(merges) < 3:
        raise ValueError("two merges do not tell base from adapter: three are needed")
    first, second, third = (np.asarray(merge) for merge in merges[:3])
    by = np.random.default_rng(seed)
    pairs = [(first - second), (first - third), (second - third)]
    spaces = [column_space(pair, by, width) for pair in pairs]
    if any(space is None for space in spaces):
        return None
    u12, u13, u23 = (space for space in spaces if space is not None)
    ranks = _ranks(u12.shape[1], u13.shape[1], u23.shape[1])
    if ranks is None:
        return None
    p1, p2, p3 = (
        _shared(u12, u13, ranks[0]),
        _shared(u12, u23, ranks[1]),
        _shared(u13, u23, ranks[2]),
    )
    if p1 is None or p2 is None or p3 is None:
        return None
    d12, d13 = pairs[0].astype(np.float64), pairs[1].astype(np.float64)
    c1, c2 = _split(p1, p2, d12)
    _, c3 = _split(p1, p3, d13)
    base: Floats = (first - p1 @ c1 + second - p2 @ c2 + third - p3 @ c3) / 3
    return Recovered(base, ranks)


def column_space(matrix: Floats, by: np.random.Generator, width: int) -> Floats | None:
    """An orthonormal basis (out, rank) of the columns above the rounding; None if there is no gap.

    The sketch starts with ``width`` columns and doubles until it sees the noise.
    """
    least = min(matrix.shape)
    while True:
        width = min(width, least)
        test = by.standard_normal((matrix.shape[1], width)).astype(matrix.dtype)
        basis, _ = np.linalg.qr((matrix @ test).astype(np.float64))
        basis, _ = np.linalg.qr(matrix.T @ basis.astype(matrix.dtype))
        left, values, _ = np.linalg.svd((matrix @ basis).astype(np.float64), full_matrices=False)
        rank = _gap(values)
        if rank is not None and rank <= width - 4:
            found: Floats = left[:, :rank]
            return found
        if width == least:
            return None
        width *= 2


def _gap(values: Floats) -> int | None:
    """How many singular values stand before the sharpest fall; None if none is sharp."""
    tiny = np.finfo(np.float64).tiny
    falls = values[:-1] / np.maximum(values[1:], tiny)
    # rounding noise is flat: a fall to exact zeros counts, one among zeros does not
    falls[values[:-1] <= values[0] * 1e-13] = 0.0
    place = int(falls.argmax())
    return place + 1 if falls[place] >= _SHARPEST else None


def _ranks(r12: int, r13: int, r23: int) -> tuple[int, int, int] | None:
    doubled = (r12 + r13 - r23, r12 + r23 - r13, r13 + r23 - r12)
    if any(value <= 0 or value % 2 for value in doubled):
        return None
    return doubled[0] // 2, doubled[1] // 2, doubled[2] // 2


def _shared(first: Floats, second: Floats, rank: int) -> Floats | None:
    """A basis of the intersection of two spaces given by orthonormal bases."""
    left, cosines, right = np.linalg.svd(first.T @ second)
    beyond = cosines[rank] if len(cosines) > rank else 0.0
    if len(cosines) < rank or cosines[rank - 1] < _SAME or beyond > _SAME:
        return None
    middle = first @ left[:, :rank] + second @ right[:rank].T
    basis, _ = np.linalg.qr(middle)
    return basis


def _split(first: Floats, second: Floats, difference: Floats) -> tuple[Floats, Floats]:
    """C_i, C_j with ``difference = first C_i - second C_j``, by the normal equations' QR."""
    basis, upper = np.linalg.qr(np.hstack([first, second]))
    solved = np.linalg.solve(upper, basis.T @ difference)
    width = first.shape[1]
    return solved[:width], -solved[width:]
