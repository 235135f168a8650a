"""How limits stand, written as OpenAI's documentation shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.gateway.pipeline.ratelimit import denial, duration, headers
from strongroom.store.limits import Denied, Standing


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (12_000, "12ms"),
        (999_000, "999ms"),
        (999_001, "1s"),
        (1_000_000, "1s"),
        (8_640_000, "8.64s"),
        (60_000_000, "1m0s"),
        (60_500_000, "1m0.5s"),
        (360_000_000, "6m0s"),
        (86_400_000_000, "24h0m0s"),
        (3_661_001_000, "1h1m1.001s"),
    ],
)
def test_durations(microseconds: int, text: str) -> None:
    assert duration(microseconds) == text


@given(st.integers(0, 10**12))
def test_a_duration_is_never_too_short(microseconds: int) -> None:
    text, seconds = duration(microseconds), 0.0
    if text.endswith("ms"):
        seconds = int(text[:-2]) / 1000
    else:
        for unit, factor in (("h", 3600), ("m", 60), ("s", 1)):
            head, found, rest = text.partition(unit)
            if found:
                seconds, text = seconds + float(head) * factor, rest
    assert 0 <= seconds - microseconds / 1e6 < 0.001 + 1e-6


def test_the_names_are_openais() -> None:
    told = headers(
        (
            Standing("requests", "minute", 60, 59, 1_000_000),
            Standing("input_tokens", "minute", 150_000, 149_984, 6 * 60_000_000),
            Standing("output_tokens", "day", 1000, 10, 12_000),
        )
    )
    found = dict(told)
    assert len(found) == len(told)
    assert found[b"x-ratelimit-limit-requests"] == b"60"
    assert found[b"x-ratelimit-remaining-requests"] == b"59"
    assert found[b"x-ratelimit-reset-requests"] == b"1s"
    assert found[b"x-ratelimit-reset-input-tokens"] == b"6m0s"
    assert found[b"x-ratelimit-limit-tokens"] == b"1000"  # of the two, the nearer to its end
    assert found[b"x-ratelimit-remaining-tokens"] == b"10"
    assert found[b"x-ratelimit-reset-tokens"] == b"12ms"
    assert headers(()) == []


def test_when_to_come_again() -> None:
    refusal = denial(Denied("key", "requests", "minute", 60, 0, 1_000_001))
    assert (refusal.status, refusal.code) == (429, "gateway.limit_reached")
    assert dict(refusal.headers) == {b"retry-after": b"2"}
    refusal = denial(Denied("organisation", "output_tokens", "total", 60, 0, None))
    assert (refusal.status, refusal.code) == (429, "gateway.limit_too_small")
    assert dict(refusal.headers) == {b"x-should-retry": b"false"}
