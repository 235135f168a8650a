"""Steps 5 and 9 of a request, and what becomes of the reservations.

A request is reserved in two parts, because one of them must come before anything is parsed:

- on entering, itself: one request, spaced by GCRA, and one place among the concurrent. Whoever
  sends rubbish pays it as well;
- once it is known what it may cost at most, the rest.

Both are ended together, so that a place among the concurrent is kept until the last record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.gateway.identity import Caller
from strongroom.gateway.pipeline.ratelimit import denial, headers
from strongroom.store.counters.interface import Counters
from strongroom.store.limits import Cost, Denied, Granted, Subject

ITSELF: Final = Cost(requests=1)

Told = list[tuple[bytes, bytes]]


def parts(holder: str, request_id: str) -> tuple[str, str]:
    """The ids of both reservations of a request; ``holder`` is the gateway that made them."""
    return f"{holder}:{request_id}:1", f"{holder}:{request_id}:2"


class Meter:
    """The reservations of one request."""

    __slots__ = ("_counters", "_granted", "_held", "_ids", "_itself", "_subjects")

    def __init__(self, counters: Counters, holder: str, request_id: str) -> None:
        self._counters = counters
        self._ids = parts(holder, request_id)
        self._itself = ITSELF
        self._held: list[str] = []
        self._subjects: Sequence[Subject] = ()
        self._granted = Granted()

    async def enter(self, caller: Caller, told: Told, factor: int = 1) -> None:
        """Step 5. The request counts as ``factor`` requests; ``told`` gets the headers that say
        how the limits stand if there is no room, else they are had from ``tell``.

        Raises:
            Refusal: 429, which limit; or 503.
        """
        self._subjects = caller.subjects
        if factor != 1:
            self._itself = Cost(requests=factor)
        await self._reserve(self._ids[0], self._itself, told)

    async def reserve(self, worst: Cost, told: Told) -> None:
        """Step 9, for what ``enter`` has not taken; raises as ``enter``."""
        await self._reserve(self._ids[1], worst.but_requests(), told)

    def tell(self, told: Told) -> None:
        """Say how the limits stand, as far as the last reservation knows."""
        told += headers(self._granted.standings)

    async def settle(self, cost: Cost) -> None:
        """``cost`` is what the request has cost so far."""
        await self._counters.settle(self._ids[1], cost.but_requests(), final=False)

    async def close(self, cost: Cost) -> None:
        """End what is held: the request itself is spent, and ``cost`` of the rest."""
        for held, actual in zip(self._held, (self._itself, cost.but_requests()), strict=False):
            await self._counters.settle(held, actual, final=True)
        self._held.clear()

    async def _reserve(self, name: str, worst: Cost, told: Told) -> None:
        if not self._subjects:
            return
        found = await self._counters.reserve(name, self._subjects, worst)
        if isinstance(found, Denied):
            self._granted = Granted()
            told += headers(found.standings)
            raise denial(found)
        self._granted = found
        self._held.append(name)
