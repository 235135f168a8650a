"""The counter store dies, comes back, or forgets: nothing is ever granted on a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from strongroom.errors import ConfigurationRefused, EnvironmentLacks
from strongroom.store.counters.redis import RedisCounters
from strongroom.store.limits import NOTHING, Amounts, Cost, Denied, Granted, Limits, Subject

from .conftest import Server, World

PAYER = Subject("organisation", "acme", Limits(total=Amounts(output_tokens=100)))
WORST = Cost(1, 10, 60)


@pytest.fixture
def alone(server: Server) -> Iterator[World]:
    made = World("redis", server.url)
    yield made
    made.close()


def refused(world: World, counters: RedisCounters, name: str) -> str:
    with pytest.raises(EnvironmentLacks) as caught:
        world.run(counters.reserve(name, [PAYER], Cost()))
    return caught.value.code


def test_a_store_that_is_gone_refuses_and_loses_nothing(server: Server, alone: World) -> None:
    counters = alone.open()
    assert isinstance(counters, RedisCounters)
    assert isinstance(alone.run(counters.reserve("a", [PAYER], WORST)), Granted)
    server.kill()
    assert refused(alone, counters, "b") == "limits.store_unavailable"
    alone.run(counters.settle("a", Cost(1, 10, 5), final=False))  # said to nobody
    alone.run(counters.settle("a", Cost(1, 10, 20), final=True))
    for call in (counters.usage(PAYER), counters.give_back("a")):
        with pytest.raises(EnvironmentLacks) as caught:
            alone.run(call)  # type: ignore[arg-type]
        assert caught.value.code == "limits.store_unavailable"
    server.start()
    used = alone.run(counters.usage(PAYER))
    assert (used.held, used.total) == (WORST, NOTHING)  # too much is held, not too little
    assert isinstance(alone.run(counters.reserve("c", [PAYER], WORST)), Granted)
    used = alone.run(counters.usage(PAYER))
    assert (used.held, used.total) == (WORST, Cost(1, 10, 20))
    assert isinstance(alone.run(counters.reserve("d", [PAYER], WORST)), Denied)


def test_a_store_that_forgot_refuses(server: Server, alone: World) -> None:
    counters = alone.open()
    assert isinstance(counters, RedisCounters)
    alone.run(counters.reserve("a", [PAYER], WORST))
    server.kill()
    server.start(forget=True)
    assert refused(alone, counters, "b") == "limits.store_forgot"
    with pytest.raises(EnvironmentLacks) as caught:
        alone.run(counters.usage(PAYER))
    assert caught.value.code == "limits.store_forgot"
    alone.run(counters.begin())
    assert isinstance(alone.run(counters.reserve("b", [PAYER], WORST)), Granted)


def test_a_reservation_whose_answer_was_lost_is_given_back(server: Server, alone: World) -> None:
    counters = alone.open()
    assert isinstance(counters, RedisCounters)
    alone.run(counters.usage(PAYER))

    async def hang_up() -> None:
        """Stop the server from answering, send a reservation, and give up."""
        from redis.asyncio import Redis

        async with Redis.from_url(server.url) as other:
            await other.client_pause(300)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(counters.reserve("a", [PAYER], WORST), 0.1)
        await asyncio.sleep(0.5)

    alone.run(hang_up())
    assert isinstance(alone.run(counters.reserve("b", [PAYER], WORST)), Granted)
    assert alone.run(counters.usage(PAYER)).held == WORST


def test_the_address_is_judged_and_never_shown() -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        RedisCounters("http://user:hunter2@host")
    assert caught.value.code == "limits.bad_url"
    assert "hunter2" not in str(caught.value)
    with pytest.raises(EnvironmentLacks) as gone:
        asyncio.run(RedisCounters("redis://:hunter2@127.0.0.1:1/0").reserve("a", [], Cost()))
    assert gone.value.code == "limits.store_unavailable"
    assert "hunter2" not in str(gone.value)
