"""The page for who decides: what still works, what each rung adds, what would help at least cost.

Only what this matrix measured is said to help. Where nothing measured does, the controls that the
crosswalk names are listed with the grade that they have there.
"""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.exposure.cell import Cell, Severity
from strongroom.exposure.gate import ORDER
from strongroom.exposure.ladder import Rung, within
from strongroom.exposure.results import Results, excess
from strongroom.report.telling import rungs_of
from strongroom.standards.crosswalk import CROSSWALK

_WORTH_SAYING = 0.02


@dataclass(frozen=True)
class Added:
    """What one more rung adds to one family: a difference of its headline, maybe a new severity."""

    metric: str
    difference: float
    apart: bool
    """Whether the two intervals are."""
    before: Severity
    after: Severity
    first: bool
    """There was nothing to compare with, or another metric: the difference is from the null."""


@dataclass(frozen=True)
class Step:
    """From one rung to the next; ``added`` by family, None where nothing was measured."""

    rung: str
    instead_of: str
    added: tuple[Added | None, ...]


def standing(results: Results) -> list[Cell]:
    """What works at what everybody gets, of each family the worst, worst first."""
    granted = Rung(results.granted)
    families = dict.fromkeys(cell.family for cell in results.cells)
    found = [cell for name in families if (cell := results.worst(name, granted))]
    found = [cell for cell in found if cell.severity not in {"none", "unknown"}]
    return sorted(found, key=lambda cell: -ORDER.index(cell.severity))


def steps(results: Results) -> list[Step]:
    """The marginal worth of each rung of the matrix, against the one below it."""
    families = list(dict.fromkeys(cell.family for cell in results.cells))
    found = []
    for rung in map(Rung, rungs_of(results)):
        below = [Rung(each) for each in rungs_of(results) if Rung(each) in within(rung) - {rung}]
        under = max(below, key=lambda each: len(within(each)), default=Rung.CLOSED)
        added = tuple(_added(results, name, under, rung) for name in families)
        found.append(Step(rung.value, under.value, added))
    return found


def _added(results: Results, family: str, under: Rung, rung: Rung) -> Added | None:
    before, after = results.worst(family, under), results.worst(family, rung)
    if after is None:
        return None
    head = after.figures[0]
    old = before.figures[0] if before is not None else None
    if before is None or old is None or old.metric != head.metric:
        low, high = head.measured.interval.low, head.null.interval.high
        was = "none" if before is None else before.severity
        return Added(head.metric, excess(head), low > high, was, after.severity, True)
    apart = head.measured.interval.low > old.measured.interval.high
    gained = excess(head) - excess(old)
    return Added(head.metric, gained, apart, before.severity, after.severity, False)


def controls(results: Results) -> list[tuple[str, str]]:
    """For each standing family the cheapest control that moves it, as far as is measured."""
    return [(cell.family.capitalize(), _cheapest(results, cell)) for cell in standing(results)]


def _cheapest(results: Results, cell: Cell) -> str:
    lower, budget = _lower_rung(results, cell), _smaller_budget(cell)
    said = []
    if budget is not None:
        said.append(budget)
    if lower is not None:
        said.append(
            f"Granting only {lower.rung} brings it from {_figure(cell)} to {_figure(lower)}."
        )
    if said:
        return " ".join(said)
    others = _unmeasured(cell.family)
    named = f" Not measured here: {others}." if others else ""
    return f"No rung below and no smaller budget that was measured moves it.{named}"


def _lower_rung(results: Results, cell: Cell) -> Cell | None:
    """The family's worst at the highest rung below that is less severe."""
    below = [r for r in within(Rung(results.granted)) if r.value not in {cell.rung, "closed"}]
    found = [c for r in below if (c := results.worst(cell.family, r)) and c.rung != cell.rung]
    better = [c for c in found if ORDER.index(c.severity) < ORDER.index(cell.severity)]
    return max(better, key=lambda c: excess(c.figures[0]), default=None)


def _smaller_budget(cell: Cell) -> str | None:
    """The largest budget on the curve that still tells, against the whole of it."""
    if len(cell.curve) < 2:
        return None
    last = cell.curve[-1]
    low = last.measured.interval.low
    below = [p for p in cell.curve[:-1] if p.measured.interval.high < low]
    smaller = [
        p for p in cell.curve[:-1] if last.measured.value - p.measured.value >= _WORTH_SAYING
    ]
    if not smaller:
        return None
    point = (below or smaller)[-1]
    sure = "" if below else ", though the intervals overlap"
    return (
        f"A limit of {point.queries:,} queries for an organisation holds it at "
        f"{point.measured.value:.3g}, against {last.measured.value:.3g} after "
        f"{last.queries:,}{sure}."
    )


def _unmeasured(family: str) -> str:
    found = [
        f"{control.name} ({control.met_by}, {control.grade})"
        for threat in CROSSWALK
        if family in threat.families
        for control in threat.controls
        if control.grade != "measured"
    ]
    return "; ".join(dict.fromkeys(found))


def _figure(cell: Cell) -> str:
    return f"{cell.figures[0].metric} {cell.figures[0].measured.value:.3g} ({cell.severity})"
