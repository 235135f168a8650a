"""The area under the ROC curve, its interval and paired differences, by DeLong's method.

Sources: E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988); X. Sun, W. Xu, "Fast
implementation of DeLong's algorithm", IEEE Signal Processing Letters 21 (2014). The interval is
taken on the logit scale, so that it stays in [0, 1] and is not empty at 0 or 1: there it is
Clopper and Pearson's of as many observations as the smaller class has.
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np

from strongroom.exposure.cell import Estimate, Interval
from strongroom.exposure.measurement.proportions import proportion
from strongroom.exposure.measurement.special import normal_quantile, normal_tail


def auc(members: np.ndarray, others: np.ndarray, *, level: float = 0.95) -> Estimate:
    """The probability that a member scores above another, ties counting half.

    Args:
        members: scores (m,) of those to be found.
        others: scores (n,) of the rest.
        level: of the interval.

    Raises:
        ValueError: fewer than two of either, or a score that is not finite.
    """
    value, of_members, of_others = _components(members, others)
    variance = _variance(of_members, of_others)
    return Estimate(
        value,
        _interval(value, variance, min(len(members), len(others)), level),
        len(members) + len(others),
        "DeLong",
    )


def auc_p_value(members: np.ndarray, others: np.ndarray) -> float:
    """One-sided: that scores without any information give an area as large (Mann-Whitney)."""
    value, _, _ = _components(members, others)
    m, n = len(members), len(others)
    _, counts = np.unique(np.concatenate([members, others]), return_counts=True)
    total = m + n
    ties = float(np.sum(counts.astype(float) ** 3 - counts)) / (total * (total - 1))
    variance = (total + 1 - ties) / (12 * m * n)
    return normal_tail((value - 0.5) / sqrt(variance)) if variance > 0 else 1.0


def paired_auc_difference(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    level: float = 0.95,
) -> tuple[Estimate, float]:
    """Area of ``first`` minus that of ``second`` over the same records, and its two-sided p.

    Args:
        first: scores of (members, others) by one attack or at one rung.
        second: scores of the same records, in the same order, by the other.
        level: of the interval.

    Raises:
        ValueError: the numbers of records differ, or are below two.
    """
    if len(first[0]) != len(second[0]) or len(first[1]) != len(second[1]):
        raise ValueError("paired areas need scores of the same records")
    one, one_members, one_others = _components(*first)
    two, two_members, two_others = _components(*second)
    variance = _variance(one_members - two_members, one_others - two_others)
    difference, spread = one - two, sqrt(variance)
    reach = normal_quantile((1 + level) / 2) * spread
    interval = Interval(max(-1.0, difference - reach), min(1.0, difference + reach), level)
    p = 2 * normal_tail(abs(difference) / spread) if spread > 0 else float(difference == 0)
    n = len(first[0]) + len(first[1])
    return Estimate(difference, interval, n, "DeLong, paired"), min(1.0, p)


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs."""
    order = np.argsort(values, kind="stable")
    _, first, counts = np.unique(values[order], return_index=True, return_counts=True)
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    return ranks


def _components(members: np.ndarray, others: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The area, and for each member and other its placement among the opposite class."""
    m, n = len(members), len(others)
    if m < 2 or n < 2:
        raise ValueError(f"an area needs two of each at least, not {m} and {n}")
    both = np.concatenate([members, others]).astype(float)
    if not np.isfinite(both).all():
        raise ValueError("a score is not finite")
    ranks = midranks(both)
    of_members = (ranks[:m] - midranks(both[:m])) / n
    of_others = 1 - (ranks[m:] - midranks(both[m:])) / m
    return float(of_members.mean()), of_members, of_others


def _variance(of_members: np.ndarray, of_others: np.ndarray) -> float:
    return float(of_members.var(ddof=1) / len(of_members) + of_others.var(ddof=1) / len(of_others))


def _interval(value: float, variance: float, smaller: int, level: float) -> Interval:
    if not 0 < value < 1 or variance <= 0:
        return proportion(round(value * smaller), smaller, level=level).interval
    reach = normal_quantile((1 + level) / 2) * sqrt(variance) / (value * (1 - value))
    centre = log(value / (1 - value))
    return Interval(_expit(centre - reach), _expit(centre + reach), level)


def _expit(value: float) -> float:
    return 1 / (1 + exp(-value)) if value > -700 else 0.0
