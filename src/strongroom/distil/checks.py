"""Checks that a student must pass, and the verdict over them, whatever the student is of.

A check that cannot be made is not passed.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from strongroom.exposure.cell import Cell

Outcome = Literal["passed", "failed", "warning", "granted", "told"]

_TOO_FEW = "not measurable: too few records"


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One check. ``value`` None: it could not be made. ``limit`` None: there is none."""

    name: str
    value: float | None
    limit: float | None
    outcome: Outcome
    note: str = ""


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All checks of one student; ``cells``: what was attacked, as an exposure matrix has it."""

    checks: tuple[Check, ...]
    cells: tuple[Cell, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == "failed")


def least(name: str, value: float | None, limit: float, note: str = "") -> Check:
    """Passed from ``limit`` upwards."""
    good = value is not None and value >= limit
    return Check(name, _rounded(value), limit, "passed" if good else "failed", note)


def most(
    name: str, value: float | None, limit: float, note: str = "", why: str = _TOO_FEW
) -> Check:
    """Passed up to ``limit``; ``why`` is said where there is no value."""
    if value is None or not math.isfinite(value):
        return Check(name, None, limit, "failed", why)
    return Check(name, _rounded(value), limit, "passed" if value <= limit else "failed", note)


def likeness(
    name: str, alike: float | None, limit: float, *, granted: bool, note: str, why: str = _TOO_FEW
) -> Check:
    """As ``most``, but for a student that may hold tensors of its teacher."""
    if granted:
        return Check(name, _rounded(alike), limit, "granted", note if alike is not None else why)
    return most(name, alike, limit, note, why)


def carried(name: str, value: float | None, limit: float, note: str) -> Check:
    """Told, with a warning above ``limit`` and where it could not be measured."""
    outcome: Outcome = "warning" if value is None or value > limit else "told"
    return Check(name, _rounded(value), limit, outcome, note)


def told(name: str, value: float | None, note: str = "") -> Check:
    """Of no consequence for the verdict."""
    return Check(name, _rounded(value), None, "told", note)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
