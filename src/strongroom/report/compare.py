"""What a control bought: the cells of two audits side by side."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.exposure.cell import Cell
from strongroom.exposure.results import Results


@dataclass(frozen=True, slots=True)
class Change:
    """One cell of both: values as text, and whether their intervals are apart."""

    attack: str
    rung: str
    metric: str
    before: str
    after: str
    difference: str
    severity: str


def changes(before: Results, after: Results) -> list[Change]:
    """Every cell of either, in the order of the first, then what only the second has."""
    first = {cell.key: cell for cell in before.cells}
    second = {cell.key: cell for cell in after.cells}
    return [
        _change(key, first.get(key), second.get(key)) for key in dict.fromkeys((*first, *second))
    ]


def _change(key: tuple[str, str, str], one: Cell | None, two: Cell | None) -> Change:
    figures = [cell.headline if cell and cell.status == "measured" else None for cell in (one, two)]
    metric = next((figure.metric for figure in figures if figure), "")
    difference = ""
    if figures[0] and figures[1] and figures[0].metric == figures[1].metric:
        old, new = figures[0].measured, figures[1].measured
        apart = old.interval.high < new.interval.low or new.interval.high < old.interval.low
        difference = f"{new.value - old.value:+.3f}" + ("" if apart else " (intervals overlap)")
    severities = [cell.severity if cell else "absent" for cell in (one, two)]
    severity = severities[0] if severities[0] == severities[1] else " -> ".join(severities)
    return Change(key[0], key[1], metric, _said(one), _said(two), difference, severity)


def _said(cell: Cell | None) -> str:
    if cell is None:
        return "absent"
    if cell.status != "measured" or cell.headline is None:
        return cell.status.replace("_", " ")
    one = cell.headline.measured
    return f"{one.value:.3f} [{one.interval.low:.3f}, {one.interval.high:.3f}]"
