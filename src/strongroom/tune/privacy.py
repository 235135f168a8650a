"""What differentially private training costs: Renyi accounting of the sampled Gaussian mechanism.

1. One step takes each record with probability ``share``, and adds Gaussian noise of ``noise`` times
   the clipping length. Its Renyi divergence of order a is at most ``renyi``.
2. Divergences of one order add up, over the steps of a job and over the jobs that see the same
   records, whatever their noise and share.
3. (epsilon, delta) follows from the order for which epsilon is smallest.

Neighbours are data sets of which one has one record more. Pure: numbers in, numbers out, and no
package, because it runs in the gateway too. Opacus computes the same; tests compare.

Sources: Mironov, Talwar, Zhang 2019, arXiv 1908.10530 (1; section 3.3 for orders between integers);
Mironov 2017, arXiv 1702.07476 (2); Balle et al. 2020, arXiv 1905.09982, theorem 21 (3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from strongroom.tune.reasons import refuse

ORDERS: Final = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(12, 65), 96, 128, 256)
"""Orders that are tried; more of them make epsilon a little smaller, never wrong."""

MOST_NOISE: Final = 256.0
_HALVINGS: Final = 20
_LAST_TERM: Final = -30.0
"""A series ends where its terms are smaller than e to this."""


class Spent(msgspec.Struct, frozen=True):
    """``steps`` steps of the mechanism. ``share`` is in (0, 1], ``noise`` above 0."""

    noise: float
    share: float
    steps: int


def epsilon_of(spent: Iterable[Spent], delta: float) -> float:
    """Epsilon at ``delta`` of everything in ``spent`` together; 0 of nothing.

    Args:
        spent: what saw the same records.
        delta: in (0, 1).
    """
    each = [one for one in spent if one.steps]
    if not each:
        return 0.0
    return min(
        _epsilon(order, sum(one.steps * renyi(one.noise, one.share, order) for one in each), delta)
        for order in ORDERS
    )


def least_noise(target: float, share: float, steps: int, delta: float, *, floor: float) -> float:
    """The least noise, at least ``floor``, with which so many steps cost at most ``target``.

    Raises:
        RequestRefused: ``tune.epsilon_unreachable``: no noise that still lets anything be learnt.
    """

    def enough(noise: float) -> bool:
        return epsilon_of([Spent(noise, share, steps)], delta) <= target

    if enough(floor):
        return floor
    low, high = floor, floor
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_NOISE:
            raise refuse("tune.epsilon_unreachable", value=target)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@lru_cache(maxsize=2**16)
def renyi(noise: float, share: float, order: float) -> float:
    """Renyi divergence of order ``order`` (above 1) of one step, in nats."""
    if share == 1.0:
        return order / (2 * noise * noise)
    whole = float(order).is_integer()
    moment = _at_integer(noise, share, int(order)) if whole else _between(noise, share, order)
    return max(moment, 0.0) / (order - 1)


def _epsilon(order: float, divergence: float, delta: float) -> float:
    """Step 3 for one order."""
    gain = math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
    return max(0.0, divergence + gain)


def _at_integer(noise: float, share: float, order: int) -> float:
    """log of the order-th moment of the likelihood ratio: the binomial sum."""
    take, leave = math.log(share), math.log1p(-share)
    return _log_sum(
        [
            _log_binomial(order, k)
            + k * take
            + (order - k) * leave
            + (k * k - k) / (2 * noise * noise)
            for k in range(order + 1)
        ]
    )


def _between(noise: float, share: float, order: float) -> float:
    """The same for an order between integers: two series, split where the densities are equal."""
    take, leave = math.log(share), math.log1p(-share)
    middle = noise * noise * math.log(1 / share - 1) + 0.5
    width = math.sqrt(2) * noise
    plus: list[float] = []
    minus: list[float] = []
    coefficient, sign, k = 0.0, 1, 0
    while True:
        rest = order - k
        terms = (
            coefficient + k * take + rest * leave + (k * k - k) / (2 * noise * noise)
            + math.log(0.5) + _log_erfc((k - middle) / width),
            coefficient + rest * take + k * leave + (rest * rest - rest) / (2 * noise * noise)
            + math.log(0.5) + _log_erfc((middle - rest) / width),
        )  # fmt: skip
        (plus if sign > 0 else minus).extend(terms)
        if k > order and max(terms) < _LAST_TERM:
            break
        ratio = rest / (k + 1)
        coefficient += math.log(abs(ratio))
        sign = sign if ratio > 0 else -sign
        k += 1
    up, down = _log_sum(plus), _log_sum(minus)
    return up + math.log1p(-math.exp(down - up)) if down > -math.inf else up


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_sum(logs: Sequence[float]) -> float:
    """log of the sum of exponentials; minus infinity of none."""
    if not logs:
        return -math.inf
    top = max(logs)
    return top + math.log(math.fsum(math.exp(each - top) for each in logs))


def _log_erfc(x: float) -> float:
    """log of the complementary error function, also where that is too small for a float."""
    if x < 20:
        return math.log(math.erfc(x))
    square = 1 / (x * x)
    series = 1 - square / 2 * (1 - 1.5 * square * (1 - 2.5 * square))
    return -x * x - math.log(x * math.sqrt(math.pi)) + math.log(series)
