"""Many cells, one error rate: Holm's step-down correction.

Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
Statistics 6 (1979).
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: reject where one is at or below the level.

    Raises:
        ValueError: a value is outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError("a p-value lies in [0, 1]")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - place) * p_values[index]))
        adjusted[index] = worst
    return adjusted
