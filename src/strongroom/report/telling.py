"""What a report says in words: for who decides, and for who assesses. Results in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.exposure.cell import Cell
from strongroom.exposure.gate import ORDER
from strongroom.exposure.ladder import LADDER, Rung, within
from strongroom.exposure.results import Results


@dataclass(frozen=True)
class Worth:
    """For one family, the worst cell that each rung allows."""

    family: str
    cells: tuple[Cell | None, ...]


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
    families = dict.fromkeys(cell.family for cell in results.cells)
    return [
        Worth(name, tuple(results.worst(name, Rung(rung)) for rung in rungs_of(results)))
        for name in families
    ]


def standing(results: Results) -> list[Cell]:
    """What works at what everybody gets, of each family the worst, worst first."""
    granted = Rung(results.granted)
    families = dict.fromkeys(cell.family for cell in results.cells)
    found = [cell for name in families if (cell := results.worst(name, granted))]
    found = [cell for cell in found if cell.severity not in {"none", "unknown"}]
    return sorted(found, key=lambda cell: -ORDER.index(cell.severity))


def controls(results: Results) -> list[str]:
    """The cheapest control that moves each standing cell, as far as this matrix shows one."""
    said = []
    for cell in standing(results):
        lower = _lower_rung(results, cell)
        budget = _smaller_budget(cell)
        if lower is not None:
            said.append(
                f"{_name(cell)}: granting only {lower.rung} brings it from "
                f"{_figure(cell)} to {_figure(lower)}."
            )
        elif budget is not None:
            said.append(f"{_name(cell)}: {budget}")
        else:
            said.append(f"{_name(cell)}: no rung below, and no smaller budget measured, moves it.")
    return said


def _lower_rung(results: Results, cell: Cell) -> Cell | None:
    """The family's worst at the next lower rung that is served, if it is less severe."""
    below = [r for r in within(Rung(results.granted)) if r.value not in {cell.rung, "closed"}]
    found = [c for r in below if (c := results.worst(cell.family, r)) and c.rung != cell.rung]
    better = [c for c in found if ORDER.index(c.severity) < ORDER.index(cell.severity)]
    return better[0] if better else None


def _smaller_budget(cell: Cell) -> str | None:
    """What the curve says about fewer queries."""
    if len(cell.curve) < 2:
        return None
    first, last = cell.curve[0], cell.curve[-1]
    if last.measured.value - first.measured.value < 0.02:
        return None
    return (
        f"a limit of {first.queries:,} queries for an organisation holds it at "
        f"{first.measured.value:.3g}, against {last.measured.value:.3g} after {last.queries:,}."
    )


def _name(cell: Cell) -> str:
    return cell.family.capitalize()


def _figure(cell: Cell) -> str:
    return f"{cell.figures[0].metric} {cell.figures[0].measured.value:.3g} ({cell.severity})"


def left_out(cells: Sequence[Cell]) -> list[Cell]:
    """What has no headline, and says why."""
    return [cell for cell in cells if cell.status != "measured"]
