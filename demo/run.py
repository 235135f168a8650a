"""The demonstration: ``make demo``, or ``python -m demo.run [--keep]``.

1. Take a real model, and a fresh home from ``strongroom init``.
2. Seal it twice: as release 1, and as release 2, which supersedes it.
3. Serve release 2: key release, keeper, gateway.
4. Hold a conversation through the official client.
5. Attack all of it, for real, each attack with a control that shows it would work elsewhere.
6. Tell what happened; the exit status is 0 only if every attack met its wall.

All of it lives in one temporary folder, which is gone afterwards, as are the processes.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import CalledProcessError
from types import FrameType
from typing import Any

from openai import OpenAIError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn

from demo import report
from demo.catalogue import catalogue
from demo.model import ensure_model
from demo.privilege import as_ordinary_child, may_read_any_process
from demo.serving import Serving
from demo.stage import Stage
from strongroom.errors import StrongroomError

DEMONSTRATION_FAILS = (
    RuntimeError, OSError, ValueError, StrongroomError, OpenAIError, CalledProcessError,
)  # fmt: skip
"""What ends the story early, told in one line; a defect keeps its traceback."""

QUESTION = "What is the capital of France, and what is it famous for?"


def main() -> int:
    """Run the whole story; 0 if every attack met its wall, 130 if it was interrupted."""
    options = argparse.ArgumentParser(prog="make demo", description="Seal, serve, attack.")
    options.add_argument("--keep", action="store_true", help="leave the model serving afterwards")
    keep = options.parse_args().keep
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    work = Path(tempfile.mkdtemp(prefix="strongroom-demo-"))
    try:
        return _demonstrate(console, work, keep)
    except KeyboardInterrupt:
        console.print("\n[yellow]Interrupted; everything is stopped and removed.[/]")
        return 130
    except DEMONSTRATION_FAILS as error:
        console.print(f"\n[bold red]The demonstration failed:[/] {escape(str(error))}")
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _demonstrate(console: Console, work: Path, keep: bool) -> int:
    started = time.monotonic()
    with ExitStack() as server:
        with report.step(
            console, "A real model: SmolLM2-135M-Instruct (Apache-2.0), 269 MB in bf16"
        ):
            stage = Stage(work, ensure_model())  # (1)
            console.print(f"  {stage.plain}")
        with report.step(console, "strongroom init: keys, trust and a configuration"):
            stage.run("init")
        with report.step(console, "strongroom seal: release 1, and release 2 that supersedes it"):
            for sealed in (stage.older, stage.sealed):  # (2)
                seal(stage, sealed)
        with report.step(console, "strongroom serve: key release, keeper and gateway"):
            stage.api_key = stage.run("key", "create", "--org", "demo")["key"]
            serving = server.enter_context(Serving(stage))  # (3)
            _tell_start(console, serving.said)
        with report.step(console, "A conversation, through the official openai client"):
            _converse(console, stage)  # (4)
        with report.step(console, "Attacks, all of them real, each with its control"):
            results = _attack(console, stage)  # (5)
        console.print(report.table(results))
        good = report.verdict(console, results, time.monotonic() - started)  # (6)
        report.what_next(console, stage, keep)
        if keep:
            serving.wait()
    return 0 if good else 1


def seal(stage: Stage, sealed: Path) -> None:
    """Seal the model with the real command, its progress bar on this terminal."""
    command = stage.command("seal", stage.plain, "--out", sealed)
    subprocess.run(command, check=True, preexec_fn=as_ordinary_child)


def _tell_start(console: Console, said: dict[str, Any]) -> None:
    walls = said["walls"]
    off = [f"{name} ({why})" for name, why in walls.items() if why != "on"]
    console.print(f"  {said['model']}, release {said['release']}, at {said['url']}/v1")
    console.print(f"  walls on: {', '.join(name for name in walls if walls[name] == 'on')}")
    if off:
        console.print(f"  [yellow]walls off: {escape('; '.join(off))}[/]")
    console.print(f"  [dim]{escape(said['egress'])}[/]")


def _converse(console: Console, stage: Stage) -> None:
    console.print(f"  [bold]you:[/]   {QUESTION}\n  [bold]model:[/] ", end="")
    stream = stage.client.chat.completions.create(
        model=stage.model_name,
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=48,
        temperature=0,
        stream=True,
    )
    pieces = 0
    for part in stream:
        text = part.choices[0].delta.content if part.choices else None
        if text:
            pieces += 1
            console.print(escape(text), end="", soft_wrap=True)
    console.print(f"\n[dim]  in {pieces} pieces, as they were generated[/]")
    if pieces < 2:
        raise RuntimeError("the model did not answer as a stream")


def _attack(console: Console, stage: Stage) -> list[report.Result]:
    if may_read_any_process():
        console.print(
            "  [yellow]You are root. What is served and what attacks it run without capabilities, "
            "as an\n  ordinary user's processes do. Root itself can read any memory: no software "
            "hides from\n  that, only confidential computing does (docs/LIMITATIONS.md).[/]"
        )
    results = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        for attack in catalogue():
            progress.update(task, description=attack.goal)
            results.append((attack, attack.run(stage)))
    return results


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """SIGTERM ends the demonstration as Ctrl-C does, with everything cleared away."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
