"""The most characters that a pattern can match, so that what a stream holds back is bounded.

Understood: characters, ``.``, escapes (``\\d``, ``\\w``, ``\\s`` and their opposites, ``\\pL``,
``\\p{Greek}``, ``\\x41``, ``\\x{1F600}``, escaped punctuation), classes, groups ``( )`` and
``(?: )``, ``|``, and the repetitions ``?``, ``{n}`` and ``{n,m}``. Refused: ``*``, ``+``, ``{n,}``,
which have no bound; ``^``, ``$``, ``\\b`` and their like, which look at neighbours that may not
have arrived or have left; and everything not understood.
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.errors import ConfigurationRefused

_ATOM: Final = re.compile(
    r"\\(?:[dDwWsS]|[pP](?:\w|\{\^?\w+\})|x[0-9A-Fa-f]{2}|x\{[0-9A-Fa-f]{1,6}\}|[tnr]|[^\w\s])"
    r"|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]"
    r"|[^\\\[\](){}|*+?^$]",
    re.DOTALL,
)
_REPEAT: Final = re.compile(r"\?\??|\{(\d{1,4})(?:,(\d{1,4}))?\}\??")


def width(pattern: str) -> int:
    """Most characters of a match of ``pattern``.

    Raises:
        ConfigurationRefused: ``gateway.content_pattern``.
    """
    most, end = _alternatives(pattern, 0)
    if end != len(pattern):
        raise unusable(f"character {end + 1} is not understood or allows a match without bound")
    return most


def _alternatives(pattern: str, at: int) -> tuple[int, int]:
    most = 0
    while True:
        found, at = _sequence(pattern, at)
        most = max(most, found)
        if not pattern.startswith("|", at):
            return most, at
        at += 1


def _sequence(pattern: str, at: int) -> tuple[int, int]:
    total = 0
    while at < len(pattern) and pattern[at] not in "|)":
        one, after = _item(pattern, at)
        if after == at:
            break
        at = after
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            one *= int(repeat[2] or repeat[1] or 1)
            at = repeat.end()
        total += one
    return total, at


def _item(pattern: str, at: int) -> tuple[int, int]:
    if pattern.startswith("(", at):
        inside = at + 3 if pattern.startswith("(?:", at) else at + 1
        most, end = _alternatives(pattern, inside)
        if not pattern.startswith(")", end):
            raise unusable("a group is not closed, or holds what is not understood")
        return most, end + 1
    atom = _ATOM.match(pattern, at)
    return (0, at) if atom is None else (1, atom.end())


def unusable(reason: str) -> ConfigurationRefused:
    """A pattern that cannot be a rule."""
    return ConfigurationRefused(
        "gateway.content_pattern",
        f"A pattern of the content policy cannot be used: {reason}.",
        action="docs/content-policy.md says what patterns may hold.",
    )
