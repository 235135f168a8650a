"""The matrix as a report shows it: rows, rungs, the worst that a rung allows, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.exposure.cell import Cell
from strongroom.exposure.ladder import LADDER, Rung, within
from strongroom.exposure.results import Results


@dataclass(frozen=True)
class Worth:
    """For one family, the worst cell that each rung allows.

    ``lacking`` says, for each rung without one, whether attacks were planned there and not measured
    or need a higher rung.
    """

    family: str
    cells: tuple[Cell | None, ...]
    lacking: tuple[str, ...]


def rungs_of(results: Results) -> tuple[str, ...]:
    """Rungs in the matrix, least first."""
    found = {cell.rung for cell in results.cells}
    return tuple(rung.value for rung in LADDER if rung.value in found)


def rows_of(results: Results) -> list[tuple[str, str, list[Cell | None]]]:
    """The matrix: attack, knowledge, and a cell or nothing for each rung."""
    found = {cell.key: cell for cell in results.cells}
    return [
        (attack, knowledge, [found.get((attack, rung, knowledge)) for rung in rungs_of(results)])
        for attack, knowledge in results.rows()
    ]


def worth_of(results: Results) -> list[Worth]:
    """For each family, the worst that each rung allows: it never falls from left to right."""
    rungs = [Rung(rung) for rung in rungs_of(results)]
    return [
        Worth(
            name,
            tuple(results.worst(name, rung) for rung in rungs),
            tuple(_lacking(results, name, rung) for rung in rungs),
        )
        for name in dict.fromkeys(cell.family for cell in results.cells)
    ]


def _lacking(results: Results, family: str, rung: Rung) -> str:
    allowed = {each.value for each in within(rung)}
    planned = any(cell.family == family and cell.rung in allowed for cell in results.cells)
    return "not measured" if planned else "needs more"


def left_out(cells: Sequence[Cell]) -> list[Cell]:
    """What has no headline, and says why."""
    return [cell for cell in cells if cell.status != "measured"]


def knowledge_used(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """What attackers were given, and the attacks that had it."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        found.setdefault(cell.knowledge, {})[cell.attack] = None
    return [(knowledge, ", ".join(attacks)) for knowledge, attacks in found.items()]


def counted(cells: Sequence[Cell]) -> str:
    """How many cells ended how."""
    ends = Counter(cell.status.replace("_", " ") for cell in cells)
    return ", ".join(f"{count} {status}" for status, count in ends.most_common())


def omitted(results: Results) -> list[tuple[str, str]]:
    """What was not planned: for each reason, the cells in one line."""
    found: dict[str, dict[str, list[str]]] = {}
    for each in results.omitted:
        where = found.setdefault(each.why, {})
        where.setdefault(f"{each.attack}, knowing {each.knowledge}", []).append(each.rung)
    return [
        (why, "; ".join(f"{attack}, at {', '.join(rungs)}" for attack, rungs in cells.items()))
        for why, cells in found.items()
    ]
