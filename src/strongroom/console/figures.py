"""Numbers and times as people read them. Each returns plain text; templates escape it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("", "k", "M", "G", "T", "P")


def count(value: float) -> str:
    """``1,234,567``; a thin line of digits that aligns in a column."""
    return f"{value:,.0f}"


def bits(value: float) -> str:
    """``12.3 Mbit``: three figures and a decimal unit."""
    number = float(value)
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    digits = 0 if number >= 99.95 or unit == 0 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {_UNITS[unit]}bit"


def percent(share: float) -> str:
    """``42 %``; small shares keep a figure, and 99.6 % is not shown as full."""
    value = share * 100
    if 0 < value < 1:
        return "under 1 %"
    if 99 < value < 100:
        return "over 99 %"
    return f"{value:.0f} %"


def days(value: float | None) -> str:
    """A span given in days: hours below two days, years from two years on."""
    if value is None:
        return "not known"
    if math.isinf(value):
        return "never"
    if value < 1 / 24:
        return "under an hour"
    if value < 2:
        return f"{value * 24:.1f} hours"
    if value >= 730:
        return f"{value / 365.25:,.1f} years"
    return f"{value:,.0f} days" if value >= 10 else f"{value:,.1f} days"


def moment(value: datetime) -> str:
    """``2026-11-23 04:10:09``, in UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine(value: datetime) -> str:
    """The same for ``<time datetime>``."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(value: datetime, now: datetime) -> str:
    """``3 min ago``."""
    seconds = max(0.0, (now - value).total_seconds())
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h ago"
    return f"{seconds / 86400:.0f} days ago"
