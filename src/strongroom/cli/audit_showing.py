"""The matrix on a terminal: attack x rung, each cell with headline, interval, null and severity."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from strongroom.cli import output

if TYPE_CHECKING:
    from rich.table import Table

    from strongroom.exposure.audit import Progress
    from strongroom.exposure.cell import Cell
    from strongroom.exposure.results import Results

_COLOURS = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "none": "green",
    "unknown": "dim",
}
_SHORT = {"not_measurable": "not measurable", "not_run": "not run"}


@contextmanager
def telling(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar with the time left on a terminal, plain lines elsewhere, nothing for scripts."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():

        def note(done: int, total: int, what: str) -> None:
            output.note(f"[{done}/{total}] {what}")

        yield note
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield tell


def show(results: Results) -> None:
    """The matrix, what stands out under the default policy, and what was not measured."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    model = results.model
    console.print(
        f"{model.name}, release {model.release}: callers get {results.granted}. "
        f"Budget {results.budget}, seed {results.seed}, {results.seconds:.0f} s."
    )
    console.print(_table(results))
    for cell in results.cells:
        if cell.status != "measured":
            console.print(Text(f"{cell.attack} at {cell.rung}: {cell.status}: {cell.why}", "dim"))
    for line in standing(results):
        console.print(Text(line, "red"))
    for each in results.evidence:
        style = {"passed": "green", "failed": "red"}.get(each.outcome, "dim")
        line = f"Evidence, {each.kind}: {each.outcome} ({each.grade}): {each.sentence}"
        console.print(Text(line, style))


def standing(results: Results) -> list[str]:
    """What still works under the default policy, one sentence each, worst first."""
    from strongroom.exposure.gate import ORDER
    from strongroom.exposure.ladder import Rung, within

    allowed = {rung.value for rung in within(Rung(results.granted))}
    found = [
        cell
        for cell in results.measured()
        if cell.rung in allowed and cell.severity in {"medium", "high", "critical"}
    ]
    found.sort(key=lambda cell: -ORDER.index(cell.severity))
    return [f"Still works at {c.rung}, {c.severity}: {c.attack}: {c.sentence}" for c in found]


def _table(results: Results) -> Table:
    from rich.table import Table

    rungs = list(dict.fromkeys(cell.rung for cell in results.cells))
    found = {cell.key: cell for cell in results.cells}
    table = Table("attack", *rungs, padding=(0, 1, 0, 0), show_lines=True)
    for attack, knowledge in results.rows():
        row = [found.get((attack, rung, knowledge)) for rung in rungs]
        table.add_row(f"{attack}\n[dim]{knowledge}[/dim]", *map(_shown, row))
    return table


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    figure = cell.headline
    if cell.status != "measured" or figure is None:
        return f"[dim]{_SHORT.get(cell.status, cell.status)}[/dim]"
    one, null = figure.measured, figure.null
    colour = _COLOURS[cell.severity]
    door = "" if cell.served else " *"
    return (
        f"[{colour}]{one.value:.3g}[/{colour}] [{one.interval.low:.3g}, {one.interval.high:.3g}]"
        f"\nnull {null.value:.3g}\n[{colour}]{cell.severity}[/{colour}]{door}"
    ).replace("] [", "] \\[")
