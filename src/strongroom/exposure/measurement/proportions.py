"""Proportions: Clopper and Pearson's exact interval, and McNemar's exact test for paired ones.

Sources: C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case
of the binomial", Biometrika 26 (1934); Q. McNemar, Psychometrika 12 (1947).
"""

from __future__ import annotations

from math import comb, sqrt

import numpy as np

from strongroom.exposure.cell import Estimate, Interval
from strongroom.exposure.measurement.special import (
    beta_cdf,
    beta_quantile,
    normal_quantile,
)


def proportion(hits: int, n: int, *, level: float = 0.95) -> Estimate:
    """``hits`` of ``n`` with Clopper-Pearson's interval, which covers at least ``level``.

    Raises:
        ValueError: ``n`` is below 1 or ``hits`` not in [0, n].
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no proportion")
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else beta_quantile(tail, hits, n - hits + 1)
    high = 1.0 if hits == n else beta_quantile(1 - tail, hits + 1, n - hits)
    return Estimate(hits / n, Interval(low, high, level), n, "Clopper-Pearson")


def binomial_tail(hits: int, n: int, chance: float) -> float:
    """The probability of ``hits`` or more of ``n`` when each has probability ``chance``."""
    return 1.0 if hits <= 0 else beta_cdf(chance, hits, n - hits + 1)


def paired_difference(
    first: np.ndarray, second: np.ndarray, *, level: float = 0.95
) -> tuple[Estimate, float]:
    """Mean of ``first`` minus mean of ``second`` over the same records, and McNemar's exact p.

    Args:
        first: booleans (n,), say "found at the higher rung".
        second: booleans (n,) of the same records.
        level: of the interval, which is Wald's on the paired differences with Agresti and Min's
            half an observation added to each of the four cells (Statistics in Medicine 24, 2005).

    Raises:
        ValueError: lengths differ, or are 0.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError("paired observations come in equal numbers, at least one")
    gained = int(np.sum(first & ~second))
    lost = int(np.sum(~first & second))
    n = len(first)
    up, down, total = gained + 0.5, lost + 0.5, n + 2
    centre = (up - down) / total
    spread = sqrt(max(0.0, (up + down) / total - centre**2) / total)
    reach = normal_quantile((1 + level) / 2) * spread
    interval = Interval(max(-1.0, centre - reach), min(1.0, centre + reach), level)
    method = "paired, Agresti-Min; p by McNemar's exact test"
    return Estimate((gained - lost) / n, interval, n, method), _mcnemar(gained, lost)


def _mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p of a fair coin giving ``gained`` heads and ``lost`` tails."""
    n = gained + lost
    if n == 0:
        return 1.0
    if n > 1000:
        return min(1.0, 2 * binomial_tail(max(gained, lost), n, 0.5))
    tail = sum(comb(n, k) for k in range(max(gained, lost), n + 1))
    return float(min(1.0, 2 * tail / 2**n))
