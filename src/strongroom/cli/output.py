"""What goes where: answers to standard output, everything else to standard error."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from strongroom.errors import StrongroomError

Progress = Callable[[int, int], None]

_UNCUT = 10_000
"""Columns of characters where nobody looks at a terminal."""


def print_json(answer: Mapping[str, Any]) -> None:
    """One JSON object on one line of standard output."""
    click.echo(json.dumps(answer, ensure_ascii=False, sort_keys=False))


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values under one another."""
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        click.echo(wrapped(name.ljust(width), str(value)))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Rows under names of columns, taken from each row by these names.

    Only a terminal that is too narrow cuts them, and never the first: a person types that next.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(name.replace("_", " ") for name in columns), box=None, padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(Text(str(row[name])) for name in columns))
        first = len(str(row[columns[0]]))
        table.columns[0].min_width = max(table.columns[0].min_width or 0, first)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNCUT
    console.print(table)


def wrapped(label: str, text: str) -> str:
    """``text`` behind ``label``, its lines as wide as the terminal; no word is broken."""
    columns = min(shutil.get_terminal_size().columns, 120)
    return textwrap.fill(
        text,
        width=max(columns, len(label) + 40),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def note(sentence: str) -> None:
    """A remark for people, on standard error."""
    click.echo(sentence, err=True)


def show_error(error: StrongroomError, *, as_json: bool) -> None:
    """What happened, the reason's code, what to do."""
    if as_json:
        fields = {"error": error.code, "message": error.message, "action": error.action}
        click.echo(json.dumps(fields, ensure_ascii=False), err=True)
        return
    click.echo(f"{click.style('Refused:', fg='red', bold=True)} {error.message}", err=True)
    click.echo(f"  code: {error.code}\n  do:   {error.action}", err=True)


def size(count: int) -> str:
    """Bytes for people, in powers of 1024."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


@contextmanager
def progress(title: str, *, wanted: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error while the block runs; none where nobody is looking.

    Yields:
        What to call with (bytes done, bytes in all), or None.
    """
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tell
