"""Ticks and sizes of a stream."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.gateway.pacing import Ticks, padded


@given(events=st.binary(max_size=2000), quantum=st.integers(2, 1024))
def test_sizes_are_multiples_and_the_events_are_untouched(events: bytes, quantum: int) -> None:
    sent = padded(events, quantum)
    assert len(sent) % quantum == 0
    assert len(sent) - len(events) <= quantum + 1
    comment, _, rest = sent.partition(b"\n")
    assert comment.startswith(b":")
    assert rest == events


def test_no_padding_is_none() -> None:
    assert padded(b"data: x\n\n", 0) == b"data: x\n\n"


@pytest.mark.parametrize("busy", [0.0, 0.01, 0.05])
def test_ticks_keep_their_grid_whatever_happens_between(busy: float) -> None:
    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        ticks = Ticks(20)
        found = []
        for _ in range(5):
            await ticks.wait()
            found.append(loop.time() - started)
            await asyncio.sleep(busy)
        return found

    for moment in asyncio.run(run()):
        assert 0 <= moment % 0.020 < 0.012, moment  # behind a tick, by less than the next one


def test_without_ticks_nothing_waits() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(100):
            await Ticks(0).wait()
        return loop.time() - started

    assert asyncio.run(run()) < 0.05
