"""Which counters a setting opens, and that a store which lost everything is not taken for new."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from strongroom.errors import EnvironmentLacks
from strongroom.store.counters.leased import LeasedCounters
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.counters.redis import RedisCounters
from strongroom.store.limits import Cost, Granted
from strongroom.store.opening import open_counters, open_identity_store
from strongroom.store.sqlite import SqliteStore

from .conftest import Server


def test_without_an_address_they_are_in_memory(tmp_path: Path) -> None:
    with open_identity_store(str(tmp_path / "keys.sqlite")) as store:
        assert isinstance(store, SqliteStore)
        assert isinstance(asyncio.run(open_counters("", store)), MemoryCounters)
        assert not store.counting_begun()


def test_a_new_store_is_begun_once(tmp_path: Path, server: Server) -> None:
    async def reserve() -> bool:
        made = await open_counters(server.url, store)
        assert isinstance(made, RedisCounters)
        try:
            return isinstance(await made.reserve(uuid.uuid4().hex, [], Cost()), Granted)
        finally:
            await made.close()

    with open_identity_store(str(tmp_path / "keys.sqlite")) as store:
        assert asyncio.run(reserve())
        assert asyncio.run(reserve())
        server.kill()
        server.start(forget=True)
        with pytest.raises(EnvironmentLacks) as caught:
            asyncio.run(reserve())
        assert caught.value.code == "limits.store_forgot"


def test_leases_are_recovered_at_a_start(tmp_path: Path, server: Server) -> None:
    async def scenario() -> None:
        with open_identity_store(str(tmp_path / "keys.sqlite")) as store:
            made = await open_counters(server.url, store, replica="a", lease_requests=4)
            assert isinstance(made, LeasedCounters)
            await made.reserve("r", [], Cost(requests=1))
            for task in made._tasks:
                task.cancel()
            again = await open_counters(server.url, store, replica="a", lease_requests=4)
            assert await again.held("lease:") == {}
            await again.close()

    asyncio.run(scenario())
