"""Spectral DeTuning (Horwitz, Kahana, Hoshen 2024, arXiv 2402.10208): the check of ``low_rank``.

Alternates until it stands: each merge's best low-rank part of what is left above the base, then the
base as the mean of what is left below the parts. The rank is raised by one at a time, as there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strongroom.exposure.interface import Floats


def detune(merges: Sequence[Floats], rank: int, *, steps: int = 300) -> Floats:
    """The base (out, in) of merges whose adapters have rank ``rank`` at most."""
    stack = np.stack([np.asarray(merge, dtype=np.float64) for merge in merges])
    base = stack.mean(0)
    for step in range(steps):
        now = min(rank, 1 + step * rank // max(1, steps // 2))
        parts = []
        for merge in stack:
            left, values, right = np.linalg.svd(merge - base, full_matrices=False)
            parts.append((left[:, :now] * values[:now]) @ right[:now])
        base = (stack - np.stack(parts)).mean(0)
    found: Floats = base
    return found
