"""The blind baseline: can members be told from others without asking the model at all?

If they can, the split differs by more than membership (another time, another source), and a
membership figure would measure that difference: the cell is *refused* (Das et al., "Blind baselines
beat membership inference attacks for foundation models", 2024). The baseline is a ridge classifier
on the records themselves, cross-fitted in two halves.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from strongroom.exposure.cell import Estimate
from strongroom.exposure.measurement.auc import auc, auc_p_value

_LEAST = 0.55
_SURE = 1e-4
_WIDTH = 512
_RIDGE = 10.0


def blind_baseline(features: np.ndarray, bits: np.ndarray, *, seed: int) -> tuple[Estimate, bool]:
    """The area that the baseline reaches, and whether it separates the split.

    Args:
        features: (n, width) of the records alone.
        bits: (n,) membership.
        seed: of the halving.

    Raises:
        ValueError: fewer than four members or others.
    """
    order = np.random.default_rng(seed).permutation(len(bits))
    halves = order[::2], order[1::2]
    scores = np.empty(len(bits))
    for fitted, judged in (halves, halves[::-1]):
        scores[judged] = _ranks(_ridge(features[fitted], bits[fitted], features[judged]))
    members, others = scores[bits], scores[~bits]
    found = auc(members, others)
    return found, found.value >= _LEAST and auc_p_value(members, others) < _SURE


def text_features(texts: Sequence[str]) -> np.ndarray:
    """Hashed word counts and the length, (n, width)."""
    rows = np.zeros((len(texts), _WIDTH + 1))
    for number, text in enumerate(texts):
        words = text.lower().split()
        for word in words:
            rows[number, zlib.crc32(word.encode()) % _WIDTH] += 1
        rows[number, :_WIDTH] /= max(1, len(words)) ** 0.5
        rows[number, _WIDTH] = np.log1p(len(text))
    return rows


def _ridge(rows: np.ndarray, bits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Scores of ``others`` by ridge regression on the bits, in its dual form."""
    centre, spread = rows.mean(0), rows.std(0) + 1e-9
    known, asked = (rows - centre) / spread, (others - centre) / spread
    gram = known @ known.T
    wanted = np.linalg.solve(
        gram + _RIDGE * rows.shape[1] * np.eye(len(rows)), bits.astype(float) - bits.mean()
    )
    found: np.ndarray = asked @ (known.T @ wanted)
    return found


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Each half has a fit of its own: compare ranks, not scores."""
    ranks: np.ndarray = scores.argsort(kind="stable").argsort(kind="stable") / len(scores)
    return ranks
