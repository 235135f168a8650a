"""Spectral DeTuning (Horwitz, Kahana, Hoshen 2024, arXiv 2402.10208): the check of ``low_rank``.

Alternates until it stands: each merge's best low-rank part of what is left above the base, then the
base as the mean of what is left below the parts. The rank rises by one at a time over the first
half, as there. The low-rank part is not a full SVD, which made a step fifty times dearer: it is the
projection on a subspace that one power step carries on from the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strongroom.exposure.interface import Floats


def detune(merges: Sequence[Floats], rank: int, *, steps: int = 300, seed: int = 0) -> Floats:
    """The base (out, in) of merges whose adapters have rank ``rank`` at most."""
    stack = np.stack([np.asarray(merge, dtype=np.float64) for merge in merges])
    base = stack.mean(0)
    by = np.random.default_rng(seed)
    spaces = [by.standard_normal((stack.shape[2], rank)) for _ in stack]
    for step in range(steps):
        now = min(rank, 1 + step * rank // max(1, steps // 2))
        total = np.zeros_like(base)
        for number, merge in enumerate(stack):
            rest = merge - base
            left, _ = np.linalg.qr(rest @ spaces[number])
            small, values, turned = np.linalg.svd(left.T @ rest, full_matrices=False)
            spaces[number] = turned.T
            total += merge - (left @ small[:, :now] * values[:now]) @ turned[:now]
        base = total / len(stack)
    found: Floats = base
    return found
