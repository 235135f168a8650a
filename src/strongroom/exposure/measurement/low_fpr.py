"""The true-positive rate at a small false-positive rate, with an honest threshold.

The threshold is set on one half of the non-members and the rates are taken on the other half and
on the members: a threshold set on the data that it is judged by finds too much. Below 3/f
non-members in the half that sets it the rate at f is *not measurable* (Carlini et al., "Membership
inference attacks from first principles", IEEE S&P 2022, on why the rate at low f is the measure).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from strongroom.exposure.cell import Estimate, RocPoint
from strongroom.exposure.measurement.proportions import proportion


@dataclass(frozen=True)
class RateAt:
    """A true-positive rate and the false-positive rate that its threshold really had."""

    fpr: float
    threshold: float
    tpr: Estimate
    found_fpr: Estimate


def needed(fpr: float) -> int:
    """Non-members in all, below which the rate at ``fpr`` is not measurable."""
    return 2 * ceil(3 / fpr - 1e-9)


def tpr_at(
    members: np.ndarray, others: np.ndarray, fpr: float, *, seed: int = 0, level: float = 0.95
) -> RateAt | None:
    """The true-positive rate at ``fpr``, or None where it is not measurable.

    Args:
        members: scores (m,) of those to be found.
        others: scores (n,) of the rest; halved at random.
        fpr: in (0, 1).
        seed: of the halving.
        level: of Clopper-Pearson's intervals.

    Raises:
        ValueError: there is no member.
    """
    if len(others) < needed(fpr):
        return None
    order = np.random.default_rng(seed).permutation(len(others))
    setting, judging = others[order[: len(order) // 2]], others[order[len(order) // 2 :]]
    allowed = floor(fpr * len(setting) + 1e-9)
    threshold = float(np.sort(setting)[::-1][allowed])  # ``allowed`` scores or fewer lie above
    return RateAt(
        fpr,
        threshold,
        proportion(int(np.sum(members > threshold)), len(members), level=level),
        proportion(int(np.sum(judging > threshold)), len(judging), level=level),
    )


def roc(members: np.ndarray, others: np.ndarray, *, points: int = 60) -> tuple[RocPoint, ...]:
    """The curve from (0, 0) to (1, 1), thinned to about ``points`` evenly on a log axis."""
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    tpr = 1 - np.searchsorted(np.sort(members), thresholds, side="left") / len(members)
    fpr = 1 - np.searchsorted(np.sort(others), thresholds, side="left") / len(others)
    wanted = np.concatenate([[0.0], np.geomspace(1 / len(others), 1.0, points)])
    # the highest rate of true positives at each rate of false ones that is not above the wanted
    picked = np.unique(np.maximum(np.searchsorted(fpr, wanted, side="right") - 1, 0))
    found = [RocPoint(0.0, 0.0)]
    found += [RocPoint(float(fpr[i]), float(tpr[i])) for i in picked]
    return (*found, RocPoint(1.0, 1.0))
