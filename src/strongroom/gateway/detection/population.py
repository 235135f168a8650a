"""Classifier inputs of an organisation compared with those of all others.

A sample of everybody's recent inputs is kept. Two scores: how far an organisation's inputs lie from
it, in units of how far everybody's do (random or foreign inputs lie farther); and the share of its
inputs that lie much nearer to another organisation's than is usual (one set of queries, altered
step by step, spread over several accounts).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.gateway.detection.sketching import Vectors

_SAMPLE: Final = 1024
_SMALLEST: Final = 256
_NEAR: Final = 0.35
_SMOOTH: Final = 1 / 64
_SLOW: Final = 1 / 1024
_EVERY: Final = 4


class Closeness:
    """Scores of one organisation. ``number`` is its own in the sample."""

    __slots__ = ("count", "near", "number", "outlying")

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.near = 0.0
        self.outlying = 1.0


class Population:
    """The sample; 260 KiB at rank 64. Of each request, at most four inputs are looked at."""

    __slots__ = ("_inputs", "_owners", "_seen", "_squares", "_usual")

    def __init__(self, rank: int) -> None:
        self._inputs: Vectors = np.zeros((_SAMPLE, rank), dtype=np.float32)
        self._squares = np.full(_SAMPLE, np.inf, dtype=np.float32)
        self._owners: npt.NDArray[np.int64] = np.full(_SAMPLE, -1, dtype=np.int64)
        self._seen = 0
        self._usual = 0.0

    def add(self, inputs: Vectors, of: Closeness) -> None:
        """Judge rows of one request of one organisation."""
        for row in inputs[:_EVERY]:
            square = float(row @ row)
            apart = self._squares - 2 * (self._inputs @ row)
            apart[self._owners == of.number] = np.inf
            nearest = float(apart.min())
            if self._seen >= _SMALLEST and nearest < np.inf:
                self._judge(max(0.0, nearest + square) ** 0.5, of)
            place = self._seen % _SAMPLE
            self._inputs[place], self._squares[place] = row, square
            self._owners[place] = of.number
            self._seen += 1

    def _judge(self, distance: float, of: Closeness) -> None:
        if not self._usual:
            self._usual = distance
        # A bounded step to the median: nobody's outliers move what is usual by much.
        self._usual *= 1 + _SLOW * (1 if distance > self._usual else -1)
        of.count += 1
        rate = max(_SMOOTH, 1 / of.count)
        of.near += ((distance < _NEAR * self._usual) - of.near) * rate
        ratio = min(10.0, distance / self._usual)
        of.outlying += (ratio - of.outlying) * rate
