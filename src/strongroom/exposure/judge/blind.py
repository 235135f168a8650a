"""The blind baseline: can members be told from others without asking the model at all?

If they can, the split differs by more than membership (another time, another source), and a
membership figure would measure that difference: the cell is *refused* (Das et al., "Blind baselines
beat membership inference attacks for foundation models", 2024). The baseline is a ridge classifier
on the records themselves, fitted on one half and judged on the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from strongroom.exposure.cell import Estimate
from strongroom.exposure.measurement.auc import auc, auc_p_value

_LEAST = 0.55
_SURE = 1e-3
_WIDTH = 512
_RIDGE = 10.0


def blind_baseline(features: np.ndarray, bits: np.ndarray, *, seed: int) -> tuple[Estimate, bool]:
    """The area that the baseline reaches, and whether it separates the split.

    Args:
        features: (n, width) of the records alone.
        bits: (n,) membership.
        seed: of the halving.

    Raises:
        ValueError: fewer than two members or others in a half.
    """
    order = np.random.default_rng(seed).permutation(len(bits))
    fitted, judged = (
        order[::2],
        order[1::2],
    )  # one half only is judged: two fits are not independent
    scores = _ridge(features[fitted], bits[fitted], features[judged])
    members, others = scores[bits[judged]], scores[~bits[judged]]
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
