"""After the death of a gateway: what it held in counters that outlive it, and what it recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from strongroom.gateway.pipeline.meter import parts
from strongroom.gateway.pipeline.recovery import recover
from strongroom.ledger.entries import RequestIntent
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.limits import NOTHING, Amounts, Cost, Granted, Limits, Subject

ITSELF, REST = Cost(requests=1), Cost(input_tokens=10, output_tokens=90)
LIMITS = Limits(minute=Amounts(requests=100, output_tokens=1000), concurrent=3)
ACME = Subject("organisation", "acme", LIMITS)


class Outliving(MemoryCounters):
    """Stands in for Redis: what was spent needs no replay."""

    def replay(self, *_: object) -> None:
        return


async def hold(counters: MemoryCounters, holder: str, request: str) -> None:
    for name, worst in zip(parts(holder, request), (ITSELF, REST), strict=True):
        assert isinstance(await counters.reserve(name, [ACME], worst), Granted)


def intent(request: str) -> RequestIntent:
    cost = {"requests": 1, "input_tokens": 10, "output_tokens": 90}
    return RequestIntent(request, "acme", "k1", "chat", "m", cost, *("a" * 64,) * 3)


@pytest.mark.parametrize("recorded", [False, True])
def test_what_a_dead_gateway_held_is_settled_by_what_it_recorded(
    tmp_path: Path, recorded: bool
) -> None:
    key, counters = LogKey.create(tmp_path / "log.key"), Outliving()

    async def run() -> None:
        with open_log(tmp_path, "gateway", key) as log:
            await hold(counters, "one", "req-1")
            await hold(counters, "two", "req-2")
            if recorded:
                await log.append(intent("req-1"))
        with open_log(tmp_path, "gateway", key) as log:
            assert await recover(log, counters, "one") == recorded

    asyncio.run(run())
    usage = asyncio.run(counters.usage(ACME))
    assert usage.minute.requests == 1
    assert usage.minute.output_tokens == (90 if recorded else 0)
    assert usage.concurrent == 1  # that of the other gateway, which lives
    assert usage.held == Cost(requests=1, input_tokens=10, output_tokens=90)


def test_a_request_that_died_before_its_cost_was_known_keeps_no_place(tmp_path: Path) -> None:
    key, counters = LogKey.create(tmp_path / "log.key"), Outliving()

    async def run() -> None:
        itself, _ = parts("one", "req-1")
        await counters.reserve(itself, [ACME], ITSELF)
        with open_log(tmp_path, "gateway", key) as log:
            assert await recover(log, counters, "one") == 0

    asyncio.run(run())
    usage = asyncio.run(counters.usage(ACME))
    assert (usage.concurrent, usage.held, usage.minute.requests) == (0, NOTHING, 1)
