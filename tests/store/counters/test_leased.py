"""Leases: no more is spent than one counter would allow, also when processes and stores die."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import ConfigurationRefused, EnvironmentLacks
from strongroom.store.counters.interface import Counters
from strongroom.store.counters.leased import LeasedCounters
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.limits import NOTHING, Amounts, Cost, Denied, Granted, Limits, Subject

from .conftest import Server, World

WORST = Cost(requests=1, output_tokens=10)


def payers(**limits: Any) -> list[Subject]:
    return [Subject("organisation", "acme", Limits(**limits)), Subject("key", "k", Limits())]


class Asked(MemoryCounters):
    """Counts reservations."""

    asked = 0

    async def reserve(self, *arguments: Any) -> Granted | Denied:
        self.asked += 1
        return await super().reserve(*arguments)


async def ask(counters: Counters, name: str, who: list[Subject]) -> bool:
    return isinstance(await counters.reserve(name, who, WORST), Granted)


def test_many_requests_cost_one_round_trip() -> None:
    async def scenario() -> None:
        shared = Asked()
        leased = LeasedCounters(shared, "one", 32)
        who = payers(total=Amounts(output_tokens=10_000))
        for number in range(64):
            assert await ask(leased, f"{number}", who)
            await leased.settle(f"{number}", WORST, final=True)
        assert shared.asked == 2
        assert await ask(leased, "a", who)
        with pytest.raises(ConfigurationRefused):
            await leased.reserve("a", who, WORST)
        await leased.settle("a", NOTHING, final=True)
        await leased.close()
        used = await shared.usage(who[0])
        assert (used.total, used.held, used.concurrent) == (Cost(64, 0, 640), NOTHING, 0)

    asyncio.run(scenario())


def test_where_no_block_fits_single_requests_do() -> None:
    async def scenario() -> None:
        shared = MemoryCounters()
        leased = LeasedCounters(shared, "one", 32)
        who = payers(total=Amounts(output_tokens=355))
        granted = 0
        while await ask(leased, f"{granted}", who):
            await leased.settle(f"{granted}", WORST, final=True)
            granted += 1
        assert granted == 35
        await leased.close()
        assert (await shared.usage(who[0])).total == Cost(35, 0, 350)

    asyncio.run(scenario())


def test_a_quiet_replica_gives_back_and_new_limits_are_felt() -> None:
    async def scenario() -> None:
        shared = MemoryCounters()
        one, other = (LeasedCounters(shared, name, 32, 0.05) for name in ("one", "other"))
        who = payers(total=Amounts(output_tokens=330))
        assert await ask(one, "a", who)
        assert not await shared_room(shared, who)
        await one.settle("a", WORST, final=True)
        await asyncio.sleep(0.15)
        assert await shared_room(shared, who)
        assert await ask(other, "b", who)
        await other.settle("b", WORST, final=True)
        assert not await ask(other, "c", payers(total=Amounts(output_tokens=20)))
        await one.close()
        await other.close()

    async def shared_room(shared: Counters, who: list[Subject]) -> bool:
        done = await shared.reserve("probe", who, Cost(output_tokens=300))
        await shared.settle("probe", NOTHING, final=True)
        return isinstance(done, Granted)

    asyncio.run(scenario())


STEP = st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 100), st.booleans())


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEP, max_size=80), limit=st.integers(0, 400), block=st.integers(1, 8))
def test_no_interleaving_overspends(steps: list[Any], limit: int, block: int) -> None:
    async def scenario() -> None:
        shared = MemoryCounters()
        replicas = [LeasedCounters(shared, f"{n}", block) for n in range(3)]
        who = payers(total=Amounts(output_tokens=limit), concurrent=9)
        held: set[tuple[int, int]] = set()
        spent = 0
        for where, number, share, final in steps:
            counters, name = replicas[where], f"{where}-{number}"
            if (where, number) not in held:
                if await ask(counters, name, who):
                    held.add((where, number))
                assert len(held) <= 9
            else:
                actual = Cost(1, 0, share * WORST.output_tokens // 100)
                await counters.settle(name, actual, final=True)
                spent += actual.output_tokens
                held.discard((where, number))
            if final and share > 90:
                for lease in tuple(counters._leases.values()):
                    await counters._retire(lease)
            assert spent + 10 * len(held) <= limit
        for where, number in held:
            await replicas[where].give_back(f"{where}-{number}")
        for counters in replicas:
            await counters.close()
        used = await shared.usage(who[0])
        assert (used.total.output_tokens, used.held) == (spent, NOTHING)

    asyncio.run(scenario())


def test_a_crash_charges_leases_whole(world: World) -> None:
    shared = world.open()
    who = payers(total=Amounts(output_tokens=1000))

    async def scenario() -> None:
        dead, other = LeasedCounters(shared, "one", 8), LeasedCounters(shared, "one*", 8)
        assert await ask(dead, "a", who)
        assert await ask(other, "b", who)
        await other.settle("b", NOTHING, final=True)
        again = LeasedCounters(shared, "one", 8)
        assert len(await shared.held("lease:one:")) == 1
        assert await again.recover() == 1
        assert await again.recover() == 0
        used = await shared.usage(who[0])
        assert used.total == Cost(8, 0, 80)
        assert used.held == Cost(8, 0, 80)  # the living one's
        await other.close()
        for task in dead._tasks:
            task.cancel()
        await asyncio.sleep(0)

    world.run(scenario())


def test_when_the_store_is_gone_held_leases_are_spent_and_no_more(server: Server) -> None:
    world = World("redis", server.url)
    shared = world.open()
    who = payers(total=Amounts(output_tokens=1000))

    async def scenario() -> None:
        leased = LeasedCounters(shared, "one", 4, 0.05)
        assert await ask(leased, "0", who)
        await leased.settle("0", WORST, final=True)
        server.kill()
        await asyncio.sleep(0.2)
        for number in range(1, 4):
            assert await ask(leased, f"{number}", who)
            await leased.settle(f"{number}", WORST, final=True)
        with pytest.raises(EnvironmentLacks) as caught:
            await ask(leased, "4", who)
        assert caught.value.code == "limits.store_unavailable"
        server.start()
        assert await ask(leased, "5", who)
        await leased.settle("5", WORST, final=True)
        await asyncio.sleep(0.3)
        used = await shared.usage(who[0])
        assert (used.total, used.held) == (Cost(5, 0, 50), NOTHING)
        await leased.close()

    world.run(scenario())
    world.close()
