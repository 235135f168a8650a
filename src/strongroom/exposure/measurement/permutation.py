"""The null by permutation: the same scores with the membership bits shuffled."""

from __future__ import annotations

import numpy as np

from strongroom.exposure.cell import Estimate, Interval


def permuted_auc(scores: np.ndarray, bits: np.ndarray, *, seed: int, rounds: int = 500) -> Estimate:
    """The area under the curve when bits say nothing: its mean and the range of 95 % of draws.

    Args:
        scores: (n,).
        bits: booleans (n,), shuffled ``rounds`` times.
        seed: of the shuffling.
        rounds: draws.
    """
    from strongroom.exposure.measurement.auc import midranks

    chance = np.random.default_rng(seed)
    ranks = midranks(np.asarray(scores, dtype=float))
    m, n = int(bits.sum()), int((~bits).sum())
    drawn = np.array(
        [(ranks[chance.permutation(bits)].sum() - m * (m + 1) / 2) / (m * n) for _ in range(rounds)]
    )
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(drawn.mean())
    interval = Interval(float(low), float(high))
    return Estimate(value, interval, len(scores), f"permuted bits, {rounds} draws")
