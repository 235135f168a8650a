"""Queries are looked at beside the requests: all of them, and before the end."""

from __future__ import annotations

import asyncio

from strongroom.gateway.detection.detector import Detector, Query
from strongroom.gateway.detection.interface import DetectionConfig, Rows
from strongroom.gateway.identity import Caller
from strongroom.gateway.pipeline import guarding
from strongroom.gateway.pipeline.guarding import Guard
from strongroom.ledger import entries
from strongroom.telemetry.observer import Observer

CALLER = Caller("acme", "k", frozenset(), ())


def guard(**config: object) -> tuple[Guard, Detector, list[entries.Signal]]:
    detector, written = Detector(DetectionConfig(**config)), list[entries.Signal]()  # type: ignore[arg-type]
    return Guard(detector, written.append, Observer()), detector, written


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_a_few_at_a_time_and_none_is_passed_over() -> None:
    async def run() -> None:
        watching, detector, _ = guard()
        for number in range(50):
            watching.observe(f"r{number}", CALLER, [number, 1, 2, 3, 4, 5])
        assert detector.state.queries == 0
        await turns(1)
        assert 0 < detector.state.queries < 50
        await turns(50)
        assert detector.state.queries == 50

    asyncio.run(run())


def test_what_is_noted_is_bounded() -> None:
    async def run() -> None:
        watching, detector, _ = guard()
        tokens = list(range(guarding._MOST_NOTED // 4))
        rows = Rows(bytes(guarding._MOST_NOTED // 4), "U8", 1, (0,))
        queries: list[Query] = [tokens, rows, tokens, rows, [1]]
        for number, query in enumerate(queries):
            watching.observe(f"r{number}", CALLER, query)
        assert detector.state.queries == 5  # at once, without a turn of the loop

    asyncio.run(run())


def test_all_is_looked_at_at_the_end() -> None:
    async def run() -> None:
        watching, detector, _ = guard()
        watching.observe("r", CALLER, [1, 2, 3, 4])
        watching.finish()
        assert detector.state.queries == 1
        await turns(3)
        assert detector.state.queries == 1

    asyncio.run(run())


def test_where_signals_act_all_is_looked_at_before_the_next_request() -> None:
    async def run(action: str) -> int:
        watching, detector, _ = guard(action=action)
        watching.observe("r", CALLER, [1, 2, 3, 4])
        watching.require(CALLER)
        return detector.state.queries

    assert asyncio.run(run("suspend")) == 1
    assert asyncio.run(run("record")) == 0
