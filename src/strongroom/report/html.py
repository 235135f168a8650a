"""The report as one HTML file: no script, no external resource, everything from data escaped.

The page forbids itself all but its own style by a content security policy; jinja2 escapes every
value, and the charts are made by ``svg`` from numbers alone.
"""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from strongroom.exposure.cell import Cell, Estimate
from strongroom.exposure.results import Results
from strongroom.report import deciding, svg, telling
from strongroom.standards.crosswalk import CROSSWALK, Threat
from strongroom.standards.ids import IDS

_environment = Environment(
    loader=PackageLoader("strongroom.report"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["figure"] = svg.short
_environment.filters["gain"] = lambda gain: f"{gain:+.2g}" if abs(gain) >= 10 else f"{gain:+.3f}"
_environment.filters["chance"] = lambda p: "below 1e-99" if p < 1e-99 else svg.short(p)


def render(results: Results) -> bytes:
    """The whole page, UTF-8."""
    numbers = {cell.key: number for number, cell in enumerate(results.cells)}
    page = _environment.get_template("report.html").render(
        results=results,
        rungs=telling.rungs_of(results),
        rows=telling.rows_of(results),
        worth=telling.worth_of(results),
        standing=deciding.standing(results),
        steps=deciding.steps(results),
        controls=deciding.controls(results),
        left_out=telling.left_out(results.cells),
        knowledge=telling.knowledge_used(results.cells),
        omitted=telling.omitted(results),
        counted=telling.counted(results.cells),
        adjusted=results.adjusted(),
        numbers=numbers,
        charts=[_charts(cell) for cell in results.cells],
        threats=_threats(results),
        ids=IDS,
        interval=interval,
    )
    return page.encode("utf-8", "replace")


def interval(one: Estimate) -> str:
    """``[low, high]``, or nothing where the figure was counted."""
    if one.interval.low == one.interval.high:
        return ""
    return f"[{svg.short(one.interval.low)}, {svg.short(one.interval.high)}]"


def _charts(cell: Cell) -> list[tuple[str, Any]]:
    """Titles and pictures of one cell."""
    if not cell.figures:
        return []
    head, found = cell.figures[0], []
    if len(cell.curve) > 1:
        found.append(("Over the attacker's budget", svg.curve(cell.curve, head.null, head.metric)))
    if cell.roc:
        found.append(("Receiver operating characteristic", svg.roc(cell.roc)))
    if cell.records:
        title = "Risk of single records: red those trained on, grey the others"
        found.append((title, svg.risks(cell.records)))
    # the pictures are made of numbers and escaped names: see ``svg``
    return [(title, Markup(picture)) for title, picture in found]  # noqa: S704


def _threats(results: Results) -> list[Threat]:
    families = {cell.family for cell in results.cells}
    return [threat for threat in CROSSWALK if set(threat.families) & families]
