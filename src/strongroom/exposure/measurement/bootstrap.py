"""The percentile bootstrap of a mean, of a difference of means, or of any statistic of rows.

Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from strongroom.exposure.cell import Estimate, Interval

ROUNDS = 2000


def bootstrap(
    rows: np.ndarray,
    statistic: Callable[[np.ndarray], float] | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Estimate:
    """``statistic`` of ``rows`` (its mean, if none is given) with the percentile interval.

    Rows are drawn with replacement along the first axis: one row is one independent observation.

    Raises:
        ValueError: fewer than two rows.
    """
    n = len(rows)
    if n < 2:
        raise ValueError("a bootstrap needs two rows at least")
    chance = np.random.default_rng(seed)
    if statistic is None:
        values = rows.astype(float)
        drawn = np.array([values[chance.integers(0, n, n)].mean() for _ in range(rounds)])
        value = float(values.mean())
    else:
        drawn = np.array([statistic(rows[chance.integers(0, n, n)]) for _ in range(rounds)])
        value = float(statistic(rows))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    # the percentile interval of a skewed statistic may miss it
    interval = Interval(min(float(low), value), max(float(high), value), level)
    return Estimate(value, interval, n, f"bootstrap, {rounds} rounds")
