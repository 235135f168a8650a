"""What an attack may ask, counted and enforced where it cannot reach."""

from __future__ import annotations

import time

from strongroom.exposure.cell import Spent
from strongroom.exposure.reasons import refuse


class Meter:
    """Queries, tokens, refusals and time of one target.

    Args:
        queries: how many rows may be asked in all.
        seconds: wall time, from the first query on, after which nothing more is answered.
    """

    def __init__(self, queries: int, seconds: float = float("inf")) -> None:
        self.left = queries
        self._budget = queries
        self._seconds = seconds
        self._began: float | None = None
        self._last = 0.0
        self._asked = 0
        self._tokens = 0
        self._waited = 0.0
        self._refusals: dict[str, int] = {}
        self._stopped = ""

    def charge(self, rows: int) -> None:
        """Take ``rows`` queries before they are answered.

        Raises:
            ExposureRefused: ``exposure.budget_spent``; nothing was taken.
        """
        now = time.monotonic()
        self._began = self._began or now
        if rows > self.left or now - self._began > self._seconds:
            self.refused("exposure.budget_spent")
            self.stopped("exposure.budget_spent")
            raise refuse("exposure.budget_spent", budget=self._budget)
        self.left -= rows
        self._asked += rows

    def answered(self, tokens: int = 0) -> None:
        """An answer has left."""
        self._tokens += tokens
        self._last = time.monotonic()

    def waited(self, seconds: float) -> None:
        """The target made the attacker wait."""
        self._waited += seconds

    def refused(self, code: str) -> None:
        """The target refused an answer."""
        self._refusals[code] = self._refusals.get(code, 0) + 1

    def stopped(self, code: str) -> None:
        """The target answers nothing more."""
        self._stopped = code

    def time_left(self) -> float:
        """Seconds until nothing more is answered."""
        used = 0.0 if self._began is None else time.monotonic() - self._began
        return self._seconds - used

    def spent(self) -> Spent:
        """The counts so far."""
        seconds = 0.0 if self._began is None else max(0.0, self._last - self._began)
        refusals = dict(self._refusals)
        return Spent(self._asked, self._tokens, seconds, self._waited, refusals, self._stopped)
