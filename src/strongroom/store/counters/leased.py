"""Blocks taken from a shared store and spent here: a round trip for many requests, not for each.

A lease is an ordinary reservation in the shared store, of as much as several requests may cost.
What is reserved here is taken from it without asking anybody, so all that the shared store
promises holds: what is leased counts as held there, whether it is spent yet or not.

1. A request that the lease covers is granted at once. If it does not, a new one is taken, and the
   old one given back as soon as its requests have ended: settled with what they did cost.
2. If there is no room for a block, the request is reserved by itself.
3. A lease is given back after ``seconds``, so that a quiet replica keeps no budget from the others.
4. **When the store is gone**, leases that are held are spent, however old; then it refuses.
5. **After a crash** nobody knows what was spent of a lease: ``recover`` charges it as if all of it
   had been.

The price: near its limit a budget is spread over the replicas' leases, and requests are refused
that a single counter would still grant. Spacing by GCRA is that of blocks.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from strongroom.errors import EnvironmentLacks
from strongroom.store.counters.account import Settlement
from strongroom.store.counters.interface import Counters
from strongroom.store.counters.lanes import EVERY_RESOURCE, over, pack, unpack
from strongroom.store.counters.memory import duplicate
from strongroom.store.limits import NOTHING, Cost, Denied, Granted, Subject, Usage

LEASE_SECONDS: Final = 5.0

_Key = tuple[tuple[tuple[str, str], ...], tuple[bool, ...]]


@dataclass(eq=False)
class _Lease:
    id: str
    key: _Key
    subjects: tuple[Subject, ...]
    most: int
    granted: Granted
    until: float
    used: int = 0
    held: int = 0
    under_way: int = 0
    closing: bool = False

    def covers(self, worst: int) -> bool:
        used = self.used + self.held + worst
        return not over(self.most, used, EVERY_RESOURCE)


class LeasedCounters(Counters):
    """See the module.

    Args:
        shared: where leases come from.
        replica: the name of this gateway among those that share the store.
        requests: how many requests' worst case a lease covers.
        seconds: how long a lease is kept.
    """

    def __init__(
        self, shared: Counters, replica: str, requests: int, seconds: float = LEASE_SECONDS
    ) -> None:
        self._shared = shared
        self._name = f"lease:{replica}:"
        self._requests = requests
        self._seconds = seconds
        self._leases: dict[_Key, _Lease] = {}
        self._taking: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._held: dict[str, tuple[_Lease, Settlement]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def recover(self) -> int:
        """At a start, before the first reservation: rule 5. How many leases a dead process left."""
        left = await self._shared.held(self._name)
        for lease, worst in left.items():
            await self._shared.settle(lease, worst, final=True)
        return len(left)

    async def reserve(
        self, request_id: str, subjects: Sequence[Subject], worst: Cost
    ) -> Granted | Denied:
        """See ``Counters``."""
        if request_id in self._held:
            raise duplicate(request_id)
        payers = tuple(subjects)
        key = (tuple((s.kind, s.id) for s in payers), tuple(map(bool, worst)))
        lanes = pack(worst)
        lease = self._usable(key, payers, lanes)
        if lease is None:
            async with self._taking[key]:
                lease = self._usable(key, payers, lanes)
                if lease is None:
                    found = await self._take(key, payers, request_id, worst)
                    if not isinstance(found, _Lease):
                        return found
                    lease = found
        lease.under_way += 1
        lease.held += lanes
        self._held[request_id] = (lease, Settlement(worst, lanes))
        return lease.granted

    async def settle(self, request_id: str, actual: Cost, *, final: bool) -> bool:
        """See ``Counters``."""
        found = self._held.get(request_id)
        if found is None:
            return await self._shared.settle(request_id, actual, final=final)
        lease, settlement = found
        spent, freed, _ = settlement.step(actual, final=final)
        lease.used += spent
        lease.held -= freed
        if final:
            del self._held[request_id]
            lease.under_way -= 1
            await self._give_back_if_over(lease)
        return True

    async def give_back(self, request_id: str) -> bool:
        """See ``Counters``."""
        if request_id in self._held:
            return await self.settle(request_id, NOTHING, final=True)
        return await self._shared.give_back(request_id)

    async def held(self, prefix: str) -> dict[str, Cost]:
        """See ``Counters``; leases are held, not what was granted from them."""
        return await self._shared.held(prefix)

    async def usage(self, subject: Subject) -> Usage:
        """See ``Counters``; what is leased shows as held."""
        return await self._shared.usage(subject)

    async def close(self) -> None:
        """See ``Counters``; gives back what is not under way."""
        for task in tuple(self._tasks):
            task.cancel()
        for lease in tuple(self._leases.values()):
            await self._retire(lease)
        await self._shared.close()

    def _usable(self, key: _Key, payers: tuple[Subject, ...], worst: int) -> _Lease | None:
        lease = self._leases.get(key)
        if lease is None or lease.subjects != payers or not lease.covers(worst):
            return None
        return lease if time.monotonic() < lease.until else None

    async def _take(
        self, key: _Key, payers: tuple[Subject, ...], request_id: str, worst: Cost
    ) -> _Lease | Granted | Denied:
        """A new lease, or the answer to the request by itself."""
        old = self._leases.get(key)
        block = Cost(*(amount * self._requests for amount in worst))
        name = f"{self._name}{secrets.token_hex(8)}"
        try:
            granted = await self._shared.reserve(name, payers, block)
        except EnvironmentLacks:
            if old is not None and old.subjects == payers and old.covers(pack(worst)):  # rule 4
                return old
            raise
        if old is not None:
            await self._retire(old)
        if isinstance(granted, Denied):
            return await self._shared.reserve(request_id, payers, worst)
        until = time.monotonic() + self._seconds
        lease = _Lease(name, key, payers, pack(block), granted, until)
        self._leases[key] = lease
        task = asyncio.get_running_loop().create_task(self._expire(lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return lease

    async def _expire(self, lease: _Lease) -> None:
        """Rule 3, as long as the store is there to give it back to."""
        while not lease.closing:
            await asyncio.sleep(self._seconds)
            with suppress(EnvironmentLacks):
                await self._shared.usage(lease.subjects[0])
                await self._retire(lease)

    async def _retire(self, lease: _Lease) -> None:
        if self._leases.get(lease.key) is lease:
            del self._leases[lease.key]
        lease.closing = True
        await self._give_back_if_over(lease)

    async def _give_back_if_over(self, lease: _Lease) -> None:
        if lease.closing and not lease.under_way:
            await self._shared.settle(lease.id, Cost(*unpack(lease.used)), final=True)
