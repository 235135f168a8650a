"""Limits as people write them: ``requests/minute=60``, ``egress-bits/day=1000000``, ``burst=5``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from strongroom.errors import ConfigurationRefused
from strongroom.store.limits import RESOURCES, WINDOWS, Limits, rules

UNITS = {
    "requests": ("requests", 1),
    "input-tokens": ("input_tokens", 1),
    "output-tokens": ("output_tokens", 1),
    "compute-seconds": ("compute_ms", 1000),
    "egress-bits": ("egress_millibits", 1000),
}
"""What people write: the resource, and how many of its units one of theirs is."""

_ALONE = ("concurrent", "burst")
_NONE = "none"


def parse(words: Sequence[str], limits: Limits) -> Limits:
    """``limits`` with what ``words`` say changed; ``WHAT=none`` takes a limit away.

    Raises:
        ConfigurationRefused: ``cli.bad_limit``.
    """
    table: dict[str, Any] = msgspec.to_builtins(limits)
    for word in words:
        name, _, text = word.partition("=")
        amount = _amount(text, word)
        if name in _ALONE:
            _put(table, name, amount)
            continue
        unit, _, window = name.partition("/")
        if unit not in UNITS or window not in WINDOWS:
            raise _bad(word, "there is no such limit")
        resource, scale = UNITS[unit]
        _put(table.setdefault(window, {}), resource, None if amount is None else amount * scale)
    try:
        return msgspec.convert(table, Limits)
    except msgspec.ValidationError as error:
        raise _bad(" ".join(words), str(error)) from None


def show(limits: Limits) -> dict[str, int | float]:
    """Every limit that is set, as ``parse`` takes it."""
    names = {resource: (unit, scale) for unit, (resource, scale) in UNITS.items()}
    found: dict[str, int | float] = {}
    for window, resource, limit in rules(limits):
        unit, scale = names[RESOURCES[resource]]
        shown = limit // scale if limit % scale == 0 else limit / scale
        found[f"{unit}/{WINDOWS[window]}"] = shown
    for name in _ALONE:
        if (number := getattr(limits, name)) is not None:
            found[name] = number
    return found


def in_words(limits: Limits) -> str:
    """The same in a line."""
    return ", ".join(f"{name}={amount:,}" for name, amount in show(limits).items()) or "none"


def recorded(limits: Limits) -> dict[str, int]:
    """Every limit that is set, as the record has it: ``minute_requests`` and so on."""
    found = {
        f"{WINDOWS[window]}_{RESOURCES[resource]}": limit
        for window, resource, limit in rules(limits)
    }
    alone = {name: getattr(limits, name) for name in _ALONE}
    return found | {name: number for name, number in alone.items() if number is not None}


def _put(table: dict[str, Any], name: str, amount: int | None) -> None:
    if amount is None:
        table.pop(name, None)
    else:
        table[name] = amount


def _amount(text: str, word: str) -> int | None:
    if text == _NONE:
        return None
    digits = text.replace("_", "").replace(",", "")
    if not (digits.isascii() and digits.isdecimal()):
        raise _bad(word, f"behind = stands a whole number or {_NONE}")
    return int(digits[:30])


def _bad(word: str, why: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "cli.bad_limit",
        f"The limit {word!r} was not understood: {why}.",
        action=f"Write WHAT/WINDOW=NUMBER with WHAT one of {', '.join(UNITS)} and WINDOW one of "
        f"{', '.join(WINDOWS)}; or concurrent=NUMBER, burst=NUMBER.",
    )
