"""Numbers as people read them, and colours that they can see."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strongroom.console
from strongroom.console import figures
from strongroom.console.reading import Egress, Organisation, Use

CSS = (Path(strongroom.console.__file__).parent / "static" / "console.css").read_text()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 bit"), (999, "999 bit"), (999.7, "1.00 kbit"), (1234, "1.23 kbit"),
        (54e6, "54.0 Mbit"), (999_950, "1.00 Mbit"), (2.8e9, "2.80 Gbit"), (5e18, "5000 Pbit"),
    ],
)  # fmt: skip
def test_bits(value: float, shown: str) -> None:
    assert figures.bits(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not known"), (math.inf, "never"), (0.01, "under an hour"), (1.5, "36.0 hours"),
        (2.7, "2.7 days"), (54, "54 days"), (100_000, "273.8 years"),
    ],
)  # fmt: skip
def test_days(value: float | None, shown: str) -> None:
    assert figures.days(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (0.001, "under 1 %"), (0.42, "42 %"), (0.996, "over 99 %"), (1.2, "120 %")],
)
def test_percent(share: float, shown: str) -> None:
    assert figures.percent(share) == shown


@given(st.floats(0, 1e20))
def test_bits_have_at_most_four_figures_below_the_largest_unit(value: float) -> None:
    number, unit = figures.bits(value).split(" ")
    assert float(number) < 1000 or unit == "Pbit"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s ago"), (59, "59 s ago"), (61, "1 min ago"), (7200, "2 h ago"), (3e5, "3 days ago")],
)
def test_ago(seconds: float, shown: str) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert figures.ago(now - timedelta(seconds=seconds), now) == shown


def test_days_to_carry_out() -> None:
    egress = Egress(0, 2e6, 1e6, 20e6, 54e6)
    assert egress.days_at_rate == 27
    assert egress.days_at_budget == 2.7
    assert Egress(0, 0, 1, 1, 54e6).days_at_rate == math.inf
    assert Egress(0, 1, 1, 1, 0).days_at_rate is None


def test_the_fullest_limit() -> None:
    uses = (Use("a", "day", 5, 10), Use("b", "day", 99, None), Use("c", "day", 1, 0))
    assert Organisation("x", 1, uses).fullest == uses[2]
    assert Organisation("x", 1).fullest is None


def _schemes() -> list[dict[str, str]]:
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in _roots())
    return [light, {**light, **dark}]


def _roots() -> list[str]:
    return re.findall(r":root \{(.*?)\}", CSS, re.S)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(scheme: int) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for text, 3 to 1 for bars."""
    colours = _schemes()[scheme]
    pairs = [
        (ink, ground)
        for ink in ("ink", "quiet", "accent", "good", "attention", "bad")
        for ground in ("ground", "card")
    ]
    pairs += [("ink", "bad-ground"), ("ink", "attention-ground"), ("quiet", "attention-ground")]
    pairs += [("on-accent", "accent"), ("card", "bad")]
    for ink, ground in pairs:
        assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for bar in ("accent", "attention", "bad"):
        assert _contrast(colours[bar], colours["track"]) >= 3, bar
