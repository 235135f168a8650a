"""The PRADA test: distances between honest queries are near to normal, synthetic ones' are not.

Juuti, Szyller, Marchal, Asokan: PRADA: Protecting Against DNN Model Stealing Attacks (EuroS&P
2019). For each query, the distance to the nearest earlier one of the same class; if those depart
from a normal distribution, queries were made from one another. Differences here: the earlier
queries are the last 512, the distances the last 128; departure is 1 - W' of Shapiro and Francia
(1972), the squared correlation with normal scores, in the place of Shapiro and Wilk's W.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.gateway.detection.sketching import Vectors

_EARLIER: Final = 512
_WINDOW: Final = 128
_EVERY: Final = 16
_SMALLEST: Final = 64
_OUTLIERS: Final = 3.0
_SAME: Final = 1e-6


class Distances:
    """One organisation's inputs, projected; 132 KiB at rank 64."""

    __slots__ = ("_classes", "_found", "_inputs", "_seen", "_squares", "count", "score")

    def __init__(self, rank: int) -> None:
        self._inputs: Vectors = np.zeros((_EARLIER, rank), dtype=np.float32)
        self._squares = np.full(_EARLIER, np.inf, dtype=np.float32)
        self._classes: npt.NDArray[np.int64] = np.full(_EARLIER, -1, dtype=np.int64)
        self._found: npt.NDArray[np.float32] = np.zeros(_WINDOW, dtype=np.float32)
        self._seen = 0
        self.count = 0
        self.score = 0.0

    def add(self, inputs: Vectors, labels: npt.NDArray[np.int64]) -> None:
        """Judge rows of one request, also against one another."""
        for row, label in zip(inputs, labels, strict=True):
            square = row @ row
            apart = self._squares - 2 * (self._inputs @ row)
            apart[self._classes != label] = np.inf
            nearest = float(apart.min())
            nearest += float(square)
            if nearest < _SAME * float(square):
                continue  # the same input again: a call repeated after a failure
            if nearest < np.inf:
                self._found[self.count % _WINDOW] = nearest**0.5
                self.count += 1
                if self.count % _EVERY == 0 and self.count >= _SMALLEST:
                    self.score = departure(self._found[: min(self.count, _WINDOW)])
            place = self._seen % _EARLIER
            self._inputs[place], self._squares[place] = row, square
            self._classes[place] = label
            self._seen += 1


def departure(distances: npt.NDArray[np.float32]) -> float:
    """How far from normal: 0 for a straight quantile plot, 1 for distances all alike."""
    values = np.sort(distances.astype(np.float64))
    centre, spread = values.mean(), values.std()
    values = values[np.abs(values - centre) <= _OUTLIERS * spread]
    scores = _scores(len(values))
    values = values - values.mean()
    energy = float(values @ values) * float(scores @ scores)
    return 1.0 if energy <= 1e-12 else 1.0 - float(values @ scores) ** 2 / energy


_cached: dict[int, npt.NDArray[np.float64]] = {}


def _scores(count: int) -> npt.NDArray[np.float64]:
    """Blom's approximation of the expected order statistics of ``count`` normal values."""
    if count not in _cached:
        normal = NormalDist()
        _cached[count] = np.array(
            [normal.inv_cdf((rank + 0.625) / (count + 0.25)) for rank in range(count)]
        )
    return _cached[count]
