"""A gate: limits on cells, so that an audit can fail a release.

::

    [[limit]]
    family = "cloning"            # or attack = "cloning"
    rung = "granted"              # what callers get by default; or a rung's name
    metric = "agreement"          # the headline, where left out
    at_most = 0.95

    [[limit]]
    family = "membership"
    severity = "medium"           # the worst that passes

A rung's figure is the worst over the attacks that it allows. A limit for which nothing was measured
is exceeded: what is not known is not good. Where attacks of a family were run, but all need a
higher rung than the limit's, it holds.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.exposure.cell import Cell, Severity
from strongroom.exposure.ladder import LADDER, Rung, within
from strongroom.exposure.reasons import refuse
from strongroom.exposure.results import Results

ORDER: tuple[Severity, ...] = ("none", "low", "medium", "high", "critical")


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One limit; see the module."""

    family: str = ""
    attack: str = ""
    rung: str = "granted"
    metric: str = ""
    at_most: float | None = None
    severity: Severity | None = None


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All limits."""

    limit: Annotated[tuple[Limit, ...], Meta(min_length=1, max_length=1000)]


def read_gate(path: Path) -> Gate:
    """The gate in ``path``.

    Raises:
        ExposureRefused: ``exposure.bad_gate``.
    """
    try:
        gate = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Gate)
    except OSError as error:
        raise refuse("exposure.bad_gate", path=path, why=error.strerror) from None
    except (ValueError, msgspec.ValidationError) as error:
        raise refuse("exposure.bad_gate", path=path, why=error) from None
    for limit in gate.limit:
        if bool(limit.family) == bool(limit.attack):
            raise refuse("exposure.bad_gate", path=path, why="a limit names a family or an attack")
        if limit.at_most is None and limit.severity is None:
            raise refuse("exposure.bad_gate", path=path, why="a limit has at_most or severity")
        if limit.rung != "granted" and limit.rung not in {rung.value for rung in LADDER}:
            raise refuse("exposure.bad_gate", path=path, why=f"there is no rung {limit.rung}")
    return gate


def exceeded(gate: Gate, results: Results) -> list[str]:
    """One line for each limit that does not hold, in the gate's order."""
    return [line for limit in gate.limit if (line := _line(limit, results))]


def _line(limit: Limit, results: Results) -> str:
    rung = Rung(results.granted if limit.rung == "granted" else limit.rung)
    what = f"{limit.family or limit.attack} at {rung.value}"
    cells = [cell for cell in _allowed(results, rung) if _meant(limit, cell)]
    if not cells and any(_meant(limit, cell) for cell in results.cells):
        return ""  # attacks of this kind were run, and need a higher rung than this
    if not any(cell.status == "measured" for cell in cells):
        return f"{what}: nothing was measured, so the limit cannot be judged"
    for cell in cells:
        if cell.status != "measured":
            continue
        if limit.severity is not None and _worse(cell.severity, limit.severity):
            return f"{what}: {cell.attack} is {cell.severity}, the limit is {limit.severity}"
        for figure in cell.figures[:1] if not limit.metric else cell.figures:
            named = not limit.metric or figure.metric == limit.metric
            if named and limit.at_most is not None and figure.measured.value > limit.at_most:
                return (
                    f"{what}: {cell.attack} reaches {figure.metric} "
                    f"{figure.measured.value:.3f}, the limit is {limit.at_most:g}"
                )
    if limit.metric and not _has(cells, limit.metric):
        return f"{what}: no cell has the metric {limit.metric}, so the limit cannot be judged"
    return ""


def _allowed(results: Results, rung: Rung) -> list[Cell]:
    rungs = {each.value for each in within(rung)}
    return [cell for cell in results.cells if cell.rung in rungs]


def _meant(limit: Limit, cell: Cell) -> bool:
    return cell.family == limit.family if limit.family else cell.attack == limit.attack


def _has(cells: list[Cell], metric: str) -> bool:
    return any(figure.metric == metric for cell in cells for figure in cell.figures)


def _worse(found: Severity, limit: Severity) -> bool:
    """An unknown severity is worse than any limit."""
    return found not in ORDER or ORDER.index(found) > ORDER.index(limit)
