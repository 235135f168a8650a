"""Whatever arrives, leaves or shares a step, each job gets what it would get alone."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.keeper.engine.interface import GenerateJob
from strongroom.keeper.engine.scheduler import (
    SHARED_ROWS,
    Scheduler,
    padded,
    row_buckets,
)

from .models import engine_of, greedy, make, reference, tokens_of


@cache
def shared_model():
    return make(seed=7)


@cache
def alone(seed: int, length: int, count: int) -> list[int]:
    return reference(shared_model(), prompt(seed, length), count)


@cache
def shared_engine():
    return engine_of(shared_model(), max_streams=3)


def prompt(seed: int, length: int) -> list[int]:
    return random.Random(seed).choices(range(3, 199), k=length)


ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 12),  # steps to wait before it arrives
        st.integers(0, 3),  # which prompt
        st.sampled_from([1, 2, 31, 64, 65, 140]),  # its length
        st.sampled_from([1, 2, 9, 17]),  # tokens wanted
        st.none() | st.integers(0, 10),  # cancelled so many steps after arrival
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(arrivals=ARRIVALS)
def test_every_job_gets_what_it_would_get_alone(arrivals) -> None:
    engine = shared_engine()
    coming = [
        (step, greedy(number, prompt(seed, length), count), seed, drop)
        for number, (step, seed, length, count, drop) in enumerate(arrivals)
    ]
    found: dict[int, list] = {job.id: [] for _, job, _, _ in coming}
    cancelled = set()
    clock = 0
    while engine.active or engine.waiting or clock <= 25:
        for step, job, _, drop in coming:
            if step == clock:
                engine.admit(job)
            if drop is not None and step + drop == clock and engine.cancel(job.id):
                cancelled.add(job.id)
        for result in engine.step():
            assert result.id not in cancelled
            found[result.id].append(result)
        clock += 1
        assert clock < 1_000
    for _, job, seed, _ in coming:
        tokens = tokens_of(found[job.id])
        expected = alone(seed, len(job.tokens), job.max_tokens)
        assert tokens == expected[: len(tokens)]
        if job.id not in cancelled:
            assert len(tokens) == job.max_tokens
            assert [r.finished for r in found[job.id]][-1] == "length"


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_slots_stay_dense_and_moves_carry_each_job_along(data) -> None:
    """A list of owners that only follows the moves always agrees with the scheduler."""
    scheduler = Scheduler(data.draw(st.integers(1, 5)))
    owners: dict[int, int] = {}
    for number in range(30):
        scheduler.waiting.append(job(number, data.draw(st.sampled_from([1, 30, 200]))))
        plan = scheduler.plan()
        assert [active.slot for active in plan.decoding] == list(range(len(plan.decoding)))
        for segment in plan.segments:
            owners[segment.active.slot] = segment.active.job.id
            segment.active.length = segment.stop
        for active in plan.decoding:
            active.length += 1
        for active in data.draw(st.permutations(list(scheduler.slots))):
            if data.draw(st.booleans()):
                for move in scheduler.release(active):
                    owners[move.target] = owners[move.source]
        assert [active.slot for active in scheduler.slots] == list(range(len(scheduler.slots)))
        for active in scheduler.slots:
            assert owners[active.slot] == active.job.id
        unread = [active.slot for active in scheduler.slots if active.prompt_left]
        assert unread in ([], [len(scheduler.slots) - 1])


def job(number: int, length: int) -> GenerateJob:
    return GenerateJob(number, (3,) * length, 4, 0.0, 1.0)


def test_a_step_reads_a_bounded_number_of_prompt_rows() -> None:
    scheduler = Scheduler(8)
    for number in range(8):
        scheduler.waiting.append(job(number, 100))
    (first, second) = scheduler.plan().segments
    assert (first.stop - first.start) + (second.stop - second.start) == 2 * SHARED_ROWS
    assert first.last
    assert not second.last
    first.active.length, second.active.length = first.stop, second.stop
    plan = scheduler.plan()
    rows = len(plan.decoding) + sum(part.stop - part.start for part in plan.segments)
    assert rows == SHARED_ROWS


@pytest.mark.parametrize("largest", [1, 2, 5, 80, 128, 320])
def test_buckets_hold_every_row_count_and_waste_less_than_half(largest: int) -> None:
    buckets = row_buckets(largest)
    assert list(buckets) == sorted(set(buckets))
    for rows in range(1, largest + 1):
        assert rows <= padded(rows, buckets) < 1.5 * rows + 1
