"""Counters in this process, for one gateway on one host.

They forget when the process ends: ``replay`` puts back what the record says was spent. What was
under way when it ended is replayed at its worst, unless the record says what it cost.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from strongroom.errors import ConfigurationRefused
from strongroom.store.counters.account import Account, Settlement, denied, granted
from strongroom.store.counters.interface import Counters
from strongroom.store.counters.lanes import pack
from strongroom.store.limits import (
    NOTHING,
    Cost,
    Denied,
    Granted,
    Subject,
    SubjectKind,
    Usage,
)

Clock = Callable[[], int]
"""Microseconds since the epoch."""

_Name = tuple[SubjectKind, str]


class MemoryCounters(Counters):
    """See the module. Not for several threads: nothing is awaited between reading and writing."""

    def __init__(self, clock: Clock = lambda: time.time_ns() // 1000) -> None:
        self._clock = clock
        self._accounts: defaultdict[_Name, Account] = defaultdict(Account)
        self._held: dict[str, tuple[list[tuple[Subject, Account]], Settlement]] = {}

    async def reserve(
        self, request_id: str, subjects: Sequence[Subject], worst: Cost
    ) -> Granted | Denied:
        """See ``Counters``."""
        if request_id in self._held:
            raise duplicate(request_id)
        now, lanes = self._clock(), pack(worst)
        pairs = [(subject, self._account(subject, now)) for subject in subjects]
        for subject, account in pairs:
            if not account.has_room(subject.limits, lanes):
                found = denied(pairs, worst)
                if found is not None:
                    return found
        for subject, account in pairs:
            account.hold(subject.limits, lanes)
        self._held[request_id] = (pairs, Settlement(worst, lanes))
        return granted(pairs)

    async def settle(self, request_id: str, actual: Cost, *, final: bool) -> bool:
        """See ``Counters``."""
        held = self._held.get(request_id)
        if held is None:
            return False
        now = self._clock()
        pairs, settlement = held
        spent, freed, places = settlement.step(actual, final=final)
        for subject, account in pairs:
            account.advance(now, subject.limits)
            account.spend(spent, freed, places)
        if final:
            del self._held[request_id]
        return True

    async def give_back(self, request_id: str) -> bool:
        """See ``Counters``."""
        return await self.settle(request_id, NOTHING, final=True)

    async def held(self, prefix: str) -> dict[str, Cost]:
        """See ``Counters``."""
        return {
            name: settlement.worst
            for name, (_, settlement) in self._held.items()
            if name.startswith(prefix)
        }

    async def usage(self, subject: Subject) -> Usage:
        """See ``Counters``."""
        return self._account(subject, self._clock()).usage()

    def replay(self, subjects: Sequence[tuple[SubjectKind, str]], spent: Cost, at_us: int) -> None:
        """Charge what the record says was spent at ``at_us``. Call it in the record's order,
        before the first reservation.
        """
        for kind, name in subjects:
            account = self._account(Subject(kind, name), at_us)
            account.spend(pack(spent), 0, 0)

    async def close(self) -> None:
        """See ``Counters``."""

    def _account(self, subject: Subject, now: int) -> Account:
        account = self._accounts[subject.kind, subject.id]
        account.advance(now, subject.limits)
        return account


def duplicate(request_id: str) -> ConfigurationRefused:
    """The error of a request id that is held already."""
    return ConfigurationRefused(
        "limits.duplicate_request",
        f"The request {request_id} is reserved already.",
        action="Give each request an id of its own.",
    )
