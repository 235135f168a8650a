"""The stores that the settings name."""

from __future__ import annotations

from pathlib import Path

from strongroom.store.counters.interface import Counters
from strongroom.store.interface import IdentityStore


def open_identity_store(address: str) -> IdentityStore:
    """A PostgreSQL database if ``address`` is its URL, else the SQLite file at this path.

    Raises:
        StrongroomError: ``store.*``; see the adapters.
    """
    if address.startswith(("postgresql://", "postgres://")):
        from strongroom.store.postgres import PostgresStore

        return PostgresStore(address)
    from strongroom.store.sqlite import SqliteStore

    return SqliteStore(Path(address))


async def open_counters(
    address: str, store: IdentityStore, *, replica: str = "", lease_requests: int = 0
) -> Counters:
    """Counters in Redis if ``address`` is its URL, in this process if it is empty.

    With ``lease_requests``, blocks of so many requests are taken from Redis for ``replica``; what
    a dead process of this name had leased is charged.

    ``store`` remembers that counting has begun: an empty counter store is taken for a new one once,
    and for one that lost what it knew ever after.

    Raises:
        StrongroomError: ``limits.*`` or ``store.*``; see the adapters.
    """
    if not address:
        from strongroom.store.counters.memory import MemoryCounters

        return MemoryCounters()
    from strongroom.store.counters.redis import RedisCounters

    counters = RedisCounters(address)
    if not store.counting_begun():
        await counters.begin()
        store.begin_counting()
    if not lease_requests:
        return counters
    from strongroom.store.counters.leased import LeasedCounters

    leased = LeasedCounters(counters, replica, lease_requests)
    await leased.recover()
    return leased
