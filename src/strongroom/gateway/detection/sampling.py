"""Which queries are looked at when there are more than may be.

A share is taken at random, the same for everybody: scores are shares themselves, so they stay as
they are and only take longer to be known.
"""

from __future__ import annotations

import random


class Sampler:
    """Takes about ``most`` a second, by how many came in the second before."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = 0
        self._count = 0
        self._share = 1.0
        self._random = random.SystemRandom()

    def take(self, now: float) -> bool:
        """Whether to look at a query that comes at ``now``."""
        second = int(now)
        if second != self._second:
            self._share = self._most / max(self._most, self._count)
            self._second, self._count = second, 0
        self._count += 1
        if self._count > 2 * self._most and self._share == 1.0:
            return False  # the first second of a flood
        return self._share == 1.0 or self._random.random() < self._share
