"""Ticks and sizes of a stream."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from itertools import pairwise, product
from statistics import median
from typing import Any, NamedTuple

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.gateway.pacing import Pacing, Ticks, padded

from .conftest import MODEL, Door, OpenDoor

ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


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


class Clock:
    """Stands in for the loop's: ``early`` seconds of each sleep are not slept."""

    def __init__(self, patch: pytest.MonkeyPatch, early: float = 0.0) -> None:
        self.now, self._early = 100.0, early
        patch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        patch.setattr("strongroom.gateway.pacing.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds - self._early)


@pytest.mark.parametrize("busy", [0.0, 0.01, 0.05])
def test_ticks_keep_their_grid_whatever_happens_between(busy: float) -> None:
    async def run() -> list[float]:
        with pytest.MonkeyPatch.context() as patch:
            clock = Clock(patch)
            started, ticks, found = clock.now, Ticks(20), []
            for _ in range(5):
                await ticks.wait()
                found.append(clock.now - started)
                clock.now += busy
            return found

    moments = asyncio.run(run())
    assert all(abs(moment - 0.020 * round(moment / 0.020)) < 1e-9 for moment in moments)
    assert all(0 < after - before < busy + 0.020 + 1e-9 for before, after in pairwise(moments))


def test_a_loop_that_wakes_early_does_not_make_ticks_of_its_own() -> None:
    """uvloop's clock and timers have whole milliseconds."""

    async def run() -> float:
        with pytest.MonkeyPatch.context() as patch:
            clock = Clock(patch, early=0.0004)
            started, ticks = clock.now, Ticks(20)
            for _ in range(10):
                await ticks.wait()
            return clock.now - started

    assert asyncio.run(run()) > 9 * 0.020


def test_without_ticks_nothing_waits() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(100):
            await Ticks(0).wait()
        return loop.time() - started

    assert asyncio.run(run()) < 0.05


class Shape(NamedTuple):
    """A stream as somebody on the network sees it."""

    sizes: list[int]
    gaps: list[float]
    text: str


def observe(door: Door, answer: str, pause: float) -> Shape:
    """Write by write: uvicorn sends each as one chunk of the transfer encoding."""
    door.keeper.answer, door.keeper.pause = answer, pause
    body = json.dumps({**ASK, "stream": True, "max_tokens": 200}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {door.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    sizes, moments, events = [], [], b""
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as sock:
        sock.sendall(head.encode() + body)
        file = sock.makefile("rb")
        while file.readline() != b"\r\n":
            pass
        while size := int(file.readline(), 16):
            moments.append(time.monotonic())
            sizes.append(size)
            events += file.read(size)
            file.readline()
    gaps = [after - before for before, after in pairwise(moments)]
    found = [json.loads(line[6:]) for line in events.split(b"\n") if line.startswith(b"data: {")]
    assert events.endswith(b"data: [DONE]\n\n")
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in found)
    return Shape(sizes, gaps, text)


TERSE, WORDY = "a b c d e f g h i j k l", "the quick brown fox says hello to the world and counts"
SPEEDS = [0.0, 0.02, 0.15]
TICK = 0.06


def in_ticks(gaps: list[float]) -> bool:
    """Whether gaps are ticks; the last, before which the record is written, may be several."""
    *streaming, end = gaps
    ticks = [abs(gap - TICK) for gap in streaming] or [0.0]
    return median(ticks) < 0.02 and abs(end - TICK * max(1, round(end / TICK))) < 0.03


def test_sizes_and_gaps_say_nothing_of_the_tokens(open_door: OpenDoor) -> None:
    door = open_door(pacing=Pacing(tick_ms=60))
    for answer, pause in product((TERSE, WORDY), SPEEDS):
        for _ in range(4):  # a busy machine can hold one reading up, and then it tells nothing
            seen = observe(door, answer, pause)
            assert seen.text == answer
            assert set(seen.sizes) == {512}, seen.sizes
            if in_ticks(seen.gaps):
                break
        else:
            pytest.fail(f"gaps are not ticks: {seen.gaps}")


def test_positive_control_without_pacing_both_speak(open_door: OpenDoor) -> None:
    door = open_door(pacing=Pacing(tick_ms=0, pad_bytes=0))
    terse, wordy = (observe(door, answer, 0.02) for answer in (TERSE, WORDY))
    assert sorted(set(terse.sizes)) != sorted(set(wordy.sizes))
    assert len(set(wordy.sizes)) > 4
    slow = observe(door, TERSE, 0.15)
    assert median(slow.gaps) > 3 * median(terse.gaps)
    assert (terse.text, wordy.text, slow.text) == (TERSE, WORDY, TERSE)


def test_whole_answers_have_padded_sizes_and_are_the_same(open_door: OpenDoor) -> None:
    door = open_door()
    sizes = set()
    for answer in (TERSE, WORDY, "é" * 40):
        door.keeper.answer = answer
        raw = door.client().chat.completions.with_raw_response.create(**ASK)
        sizes.add(len(raw.content))
        assert raw.parse().choices[0].message.content == answer
    assert sizes == {512}


@pytest.mark.parametrize("options", [{}, {"include_obfuscation": False}, {"include_usage": True}])
def test_the_official_client_reads_a_paced_stream(
    open_door: OpenDoor, options: dict[str, bool]
) -> None:
    door = open_door()
    door.keeper.answer, door.keeper.pause = WORDY, 0.12  # slower than the ticks: empty events
    for stop, expected in ((None, WORDY), (["says"], "the quick brown fox ")):
        chunks = list(
            door.client().chat.completions.create(
                **ASK, stream=True, stream_options=options, stop=stop
            )
        )
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == expected
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    chunks = list(door.client().completions.create(model=MODEL, prompt="the", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == WORDY


def test_many_tokens_within_a_tick_leave_as_one_event(open_door: OpenDoor) -> None:
    door = open_door()
    seen = observe(door, "one two three " * 10, 0.0)
    assert seen.text == "one two three " * 10
    assert len(seen.sizes) <= 4


def test_a_refusal_midway_is_padded_too(open_door: OpenDoor) -> None:
    door = open_door()
    door.keeper.answer, door.keeper.pause = WORDY, 0.1
    stream = door.client().chat.completions.create(**ASK, stream=True)
    next(iter(stream))
    door.keeper.hang_up = True
    door.keeper.close()
    with pytest.raises(openai.APIError):
        list(stream)
