"""The two special functions that intervals need, in plain Python.

The regularised incomplete beta function is evaluated by its continued fraction with Lentz's method
(Numerical Recipes, section 6.4) and inverted by bisection, which needs no derivative and cannot
leave [0, 1].
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p
from statistics import NormalDist

_TINY = 1e-300
_STANDARD = NormalDist()


def normal_quantile(p: float) -> float:
    """The value below which a standard normal falls with probability ``p`` in (0, 1)."""
    return _STANDARD.inv_cdf(p)


def normal_tail(z: float) -> float:
    """The probability that a standard normal exceeds ``z``."""
    return _STANDARD.cdf(-z)


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), with a, b > 0."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1 - x, b, a) / b


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x in [0, 1] with I_x(a, b) = p, for a, b of at least 1; to 1e-24."""
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return result


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
