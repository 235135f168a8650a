"""Charts as inline SVG: plain elements, numbers formatted here, no text from data but escaped.

Lines have one colour and the null another; both are told apart in print by their dashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

from strongroom.exposure.cell import CurvePoint, Estimate, RecordRisk, RocPoint

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 240, 52, 40, 12, 14


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``, maybe logarithmic, to pixels ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Where ``value`` lies, kept inside."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten, or five even steps."""
        if self.logarithmic:
            first, last = floor(log10(self.low) + 1e-9), floor(log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        return [self.low + (self.high - self.low) * step / 4 for step in range(5)]


def curve(points: Sequence[CurvePoint], null: Estimate, metric: str) -> str:
    """The headline over the attacker's budget, its interval as bars, the null dashed."""
    most = max(point.queries for point in points)
    least = min(max(1, point.queries) for point in points)
    values = [v for p in points for v in (p.measured.interval.low, p.measured.interval.high)]
    values += [null.value, *(point.measured.value for point in points)]
    low, high = min(0.0, *values), max(values)
    high = 1.0 if low >= 0 and high <= 1 else high * 1.08 or 1.0
    across = Axis(max(1.0, least / 2), max(2.0, most * 2.0), _LEFT, _WIDTH - _RIGHT, True)
    up = Axis(low, high, _HEIGHT - _BOTTOM, _TOP)
    drawn = [_frame(across, up, "queries", metric)]
    y = up.at(null.value)
    drawn.append(
        f'<line class="null" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    )
    path = " ".join(
        f"{across.at(max(1, p.queries)):.1f},{up.at(p.measured.value):.1f}" for p in points
    )
    drawn.append(f'<polyline class="line" points="{path}"/>')
    for point in points:
        x = across.at(max(1, point.queries))
        one = point.measured
        drawn.append(
            f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{up.at(one.interval.low):.1f}" '
            f'y2="{up.at(one.interval.high):.1f}"/>'
            f'<circle class="dot" cx="{x:.1f}" cy="{up.at(one.value):.1f}" r="3.5"/>'
        )
    return _svg(drawn, f"{metric} over the number of queries")


def roc(points: Sequence[RocPoint]) -> str:
    """The receiver operating characteristic on two log axes, guessing dashed."""
    smallest = min((p.fpr for p in points if p.fpr > 0), default=0.01)
    least = 10.0 ** floor(log10(min(0.1, smallest)))
    across = Axis(least, 1.0, _LEFT, _WIDTH - _RIGHT, True)
    up = Axis(least, 1.0, _HEIGHT - _BOTTOM, _TOP, True)
    path = " ".join(
        f"{across.at(p.fpr):.1f},{up.at(p.tpr):.1f}" for p in points if p.fpr > 0 and p.tpr > 0
    )
    drawn = [
        _frame(across, up, "false positives", "true positives"),
        f'<line class="null" x1="{across.at(least):.1f}" y1="{up.at(least):.1f}" '
        f'x2="{across.at(1):.1f}" y2="{up.at(1):.1f}"/>',
        f'<polyline class="line" points="{path}"/>',
    ]
    return _svg(drawn, "true positives over false positives, both logarithmic")


def risks(records: Sequence[RecordRisk], bins: int = 20) -> str:
    """How many records of each kind have how much risk: two histograms above one another."""
    counts = {True: [0] * bins, False: [0] * bins}
    for record in records:
        counts[record.member][min(bins - 1, int(record.risk * bins))] += 1
    most = max(1, *counts[True], *counts[False])
    across = Axis(0.0, 1.0, _LEFT, _WIDTH - _RIGHT)
    up = Axis(0.0, float(most), _HEIGHT - _BOTTOM, _TOP)
    width = (_WIDTH - _RIGHT - _LEFT) / bins
    drawn = [_frame(across, up, "risk of a record", "records")]
    for member, kind in ((False, "other"), (True, "member")):
        for number, count in enumerate(counts[member]):
            if count:
                x, y = across.at(number / bins), up.at(count)
                inset = 0.5 if member else width / 4
                drawn.append(
                    f'<rect class="{kind}" x="{x + inset:.1f}" y="{y:.1f}" '
                    f'width="{width - 2 * inset:.1f}" height="{up.at(0) - y:.1f}"/>'
                )
    return _svg(drawn, "records by risk, members and others")


def _frame(across: Axis, up: Axis, below: str, beside: str) -> str:
    drawn = []
    for value in across.ticks():
        x = across.at(value)
        drawn.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}">'
            f"{short(value)}</text>"
        )
    for value in up.ticks():
        y = up.at(value)
        drawn.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{_LEFT - 6}" y="{y + 3.5:.1f}">'
            f"{short(value)}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    height = (_TOP + _HEIGHT - _BOTTOM) / 2
    drawn.append(
        f'<text class="name" text-anchor="middle" x="{middle:.0f}" y="{_HEIGHT - 6}">'
        f'{escape(below)}</text><text class="name" text-anchor="middle" '
        f'transform="translate(12 {height:.0f}) rotate(-90)">{escape(beside)}</text>'
    )
    return "".join(drawn)


def _svg(drawn: Sequence[str], told: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(told)}">'
        f"{''.join(drawn)}</svg>"
    )


def short(value: float) -> str:
    """A number in few characters."""
    if value and abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    if abs(value) >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
