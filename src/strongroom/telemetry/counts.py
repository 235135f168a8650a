"""Plain numbers that one event loop adds to: no locks, no label objects, no library.

A counter that is a dictionary entry costs a tenth of a microsecond; a library's labelled counter
takes a lock and costs ten times that. The library speaks only when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Final

REQUEST_SECONDS: Final = (
    *(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
"""Upper bounds of the buckets for whole requests and first outputs, in seconds."""

COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds of the buckets for durable commits of the log, in seconds."""

MOST_LABELS: Final = 512
"""Distinct values of one label. Codes may come from a keeper: what is beyond counts as other."""


class Histogram:
    """How many observations fell under each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each upper bound as text and how many observations were at most that; ``+Inf`` last."""
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield bound, total


class Labelled(Counter[str]):
    """Counts by one label with a bounded number of values."""

    def bump(self, label: str, by: int = 1) -> None:
        """Add ``by`` under ``label``, or under ``other`` if there are too many labels."""
        if label not in self and len(self) >= MOST_LABELS:
            label = "other"
        self[label] += by
