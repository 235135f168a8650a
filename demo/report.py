"""Tells the story on the terminal: steps, the table of attacks, what to type next."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.attacks.interface import Attack, Outcome
from demo.stage import Stage

Result = tuple[Attack, Outcome]
_MARKS = {True: "[bold green]✓[/]", False: "[bold red]✗[/]"}


@contextmanager
def step(console: Console, title: str) -> Iterator[None]:
    """A numbered part of the story, with the time it took."""
    console.print(f"\n[bold cyan]▸ {title}[/]")
    started = monotonic()
    yield
    console.print(f"[dim]  {monotonic() - started:.1f} s[/]")


def table(results: Sequence[Result]) -> Table:
    """One row an attack: what was tried, expected, and what happened; 100 columns at most."""
    grid = Table(box=box.ROUNDED, show_lines=True, width=100, title="What was tried against it")
    grid.add_column("", width=1)
    grid.add_column("What was tried", width=25, style="bold")
    grid.add_column("Expected", width=14)
    grid.add_column("What happened", ratio=1)
    for attack, outcome in results:
        grid.add_row(
            _mark(attack, outcome), escape(attack.name), escape(attack.expected), _told(outcome)
        )
    return grid


def _mark(attack: Attack, outcome: Outcome) -> str:
    if outcome.verdict == "not tried":
        return "[yellow]–[/]"
    return _MARKS[attack.defended(outcome)]


def _told(outcome: Outcome) -> str:
    colour = {"succeeded": "red", "not tried": "yellow"}.get(outcome.verdict, "green")
    control = "dim" if outcome.control_ok else "bold red"
    failed = "" if outcome.control_ok else "FAILED: "
    return (
        f"[{colour}]{outcome.verdict}: {escape(outcome.reason)}[/]\n{escape(outcome.evidence)}\n"
        f"[{control}]Control: {failed}{escape(outcome.control)}.[/]"
    )


def verdict(console: Console, results: Sequence[Result], seconds: float) -> bool:
    """Print the summary; whether every attack met its wall and every control worked."""
    stood = sum(attack.defended(outcome) for attack, outcome in results)
    good = stood == len(results)
    colour = "green" if good else "red"
    console.print(
        f"\n[bold {colour}]{stood} of {len(results)} attacks met the wall they should have met"
        f"[/], in {seconds:.0f} s."
    )
    for attack, outcome in results:
        if not attack.defended(outcome):
            console.print(f"  [red]✗ {escape(attack.name)}[/]: {outcome.verdict}, {outcome.reason}")
    return good


def what_next(console: Console, stage: Stage, keep: bool) -> None:
    """The next three commands to type; with ``keep``, first how to use what is still serving."""
    if keep:
        console.print(f"\n[bold]Serving until Ctrl-C[/] at {stage.url}, key {stage.api_key}. Try:")
        console.print(_curl(stage), soft_wrap=True, markup=False)
    console.print("\n[bold]Next, with a model of your own:[/]")
    for command in NEXT_COMMANDS:
        console.print(f"  {command}", markup=False, soft_wrap=True)


def _curl(stage: Stage) -> str:
    turns = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": stage.model_name, "messages": turns})
    return (
        f"  curl {stage.url}/v1/chat/completions -H 'Authorization: Bearer {stage.api_key}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


NEXT_COMMANDS = (
    f". {os.path.relpath(sys.prefix)}/bin/activate && "
    "export STRONGROOM_HOME=~/.strongroom && strongroom init",
    "strongroom seal ./your-model --out ./your-model.sealed",
    "strongroom serve ./your-model.sealed",
)
