"""How many dimensions does a matrix have above its rounding noise?

The largest gap between singular values is not the test: with bfloat16 answers there is none. The
noise that rounding adds is flat, so what remains beyond the true rank behaves as a random matrix of
the remaining shape, whose largest singular value is known: sigma (sqrt(rows) + sqrt(columns)) (the
Marchenko-Pastur edge), with sigma from the remainder's own energy. The rank is the first place
beyond which nothing exceeds that edge (Kritchman and Nadler, IEEE Trans. Signal Processing 57,
2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongroom.exposure.interface import Floats

_MARGIN = 1.5
"""How far above the edge a dimension has to stand: rounding noise is not quite independent."""

ROUNDING = 0.01
"""Largest noise, over the root mean square of the entries, that rounding can be: bfloat16 makes
0.001, two decimals of a logit about as much. A spectrum that merely falls leaves far more."""


@dataclass(frozen=True)
class Spectrum:
    """``rank``; whether it is below both sides of the matrix (``found``); the noise per entry."""

    rank: int
    found: bool
    noise: float


def spectrum(matrix: Floats, agree: float = 0.9, rounding: float = ROUNDING) -> Spectrum:
    """Of a matrix (rows, columns), the rank above a noise of ``rounding`` of its size at most.

    A spectrum without any floor can look as if it had one; then fewer rows give another rank, while
    a true rank stays. So ``agree``, a share of the rows, have to give the same.
    """
    found = _above_noise(matrix, rounding)
    fewer = matrix[: int(len(matrix) * agree)]
    if found.found and _above_noise(fewer, rounding).rank != found.rank:
        return Spectrum(min(matrix.shape), False, 0.0)
    return found


def _above_noise(matrix: Floats, rounding: float) -> Spectrum:
    rows, columns = matrix.shape
    size = float(np.sqrt(np.mean(np.square(matrix, dtype=np.float64))))
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    energy = np.cumsum(values[::-1] ** 2)[::-1]
    floor = values[0] * np.finfo(np.float64).eps * max(rows, columns)
    for rank in range(len(values)):
        left, right = rows - rank, columns - rank
        sigma = float(np.sqrt(energy[rank] / (left * right)))
        edge = sigma * (np.sqrt(left) + np.sqrt(right))
        if rank >= 0.95 * len(values):
            break
        if values[rank] <= max(_MARGIN * edge, floor) and sigma <= rounding * size:
            return Spectrum(rank, True, sigma)
    return Spectrum(len(values), False, 0.0)


def centred(rows: Floats) -> Floats:
    """Each row less its mean, float64: what a softmax's normalisation shifted is gone."""
    rows = rows.astype(np.float64)
    found: Floats = rows - rows.mean(axis=1, keepdims=True)
    return found


def row_space(matrix: Floats, rank: int) -> Floats:
    """An orthonormal basis (columns, rank) of the rows' strongest directions."""
    _, _, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    found: Floats = right[:rank].T
    return found


def outside(rows: Floats, basis: Floats) -> Floats:
    """The share of each row's norm that lies outside the span of ``basis``, (rows,)."""
    rows = rows.astype(np.float64)
    rest = rows - (rows @ basis) @ basis.T
    found: Floats = np.linalg.norm(rest, axis=1) / np.linalg.norm(rows, axis=1)
    return found
