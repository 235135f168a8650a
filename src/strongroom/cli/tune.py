"""``strongroom tune``: LoRA adapters over a sealed base, trained behind the keeper's walls."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.cli.tune_running import Tell
    from strongroom.cli.tune_workload import Place
    from strongroom.store.tuning import Status, StoredJob, TuningStore
    from strongroom.tune.chat_lines import BadLine
    from strongroom.tune.policy import Private

_LINE_SECONDS = 5.0
_COLUMNS = ("id", "organisation", "status", "step", "steps", "loss", "adapter")
_IDLE_SECONDS = 2.0
_SEALED = click.argument("sealed", type=click.Path(path_type=Path))


@click.group("tune")
def command() -> None:
    """Train adapters over a sealed base, which stays sealed.

    An adapter is trained behind the keeper's walls and sealed at its end: neither it nor the base
    lies on a disk in the clear. Limits are those of [tuning.policy] in strongroom.toml.
    """


@command.command("create")
@_SEALED
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--org", metavar="NAME", default="owner", help="Whose job it is.  [default: owner]")
@click.option("--name", metavar="TEXT", default="adapter", help="What its adapter is called.")
@click.option("--rank", type=int, help="Rank of the adapter.  [default: 8]")
@click.option(
    "--module",
    "modules",
    metavar="MODULE",
    multiple=True,
    help="What it changes: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj. "
    "Repeatable.  [default: q_proj and v_proj]",
)
@click.option("--rate", type=float, help="Highest learning rate.  [default: 2e-4]")
@click.option("--steps", type=int, help="Optimiser steps.  [default: 100]")
@click.option("--batch", type=int, help="Conversations a step.  [default: the policy's least]")
@click.option("--epsilon", type=float, help="Less privacy loss than [tuning.policy.dp] allows.")
@passphrase_option
@shared_options
@click.pass_obj
def create(
    call: Call,
    sealed: Path,
    data: Path,
    org: str,
    name: str,
    rank: int | None,
    modules: tuple[str, ...],
    rate: float | None,
    steps: int | None,
    batch: int | None,
    epsilon: float | None,
    passphrase_file: Path | None,
) -> int:
    """Train an adapter on conversations, here and now.

    DATA is a file in OpenAI's chat format, JSON lines. If a line is bad, all bad ones are listed
    and nothing starts. Ctrl-C keeps a checkpoint; `strongroom tune resume` goes on from it.
    """
    from strongroom.cli import tune_running
    from strongroom.tune.dataset import DatasetRefused
    from strongroom.tune.policy import Wish

    asked = {"rank": rank, "modules": modules or None, "rate": rate, "steps": steps}
    asked |= {"batch": batch, "privacy_epsilon": epsilon}
    wish = Wish(**{key: value for key, value in asked.items() if value is not None})  # type: ignore[arg-type]
    with opened_place(call, sealed, passphrase_file) as place, _telling(call) as tell:
        try:
            job, became = tune_running.create(place, data.read_bytes(), wish, org, name, tell)
        except DatasetRefused as refused:
            _list_lines(call, refused.lines)
            raise
    return _report(call, place, job, became)


@command.command("resume")
@_SEALED
@click.argument("job_id", metavar="JOB")
@passphrase_option
@shared_options
@click.pass_obj
def resume(call: Call, sealed: Path, job_id: str, passphrase_file: Path | None) -> int:
    """Go on with a job that was interrupted, from its last checkpoint."""
    from strongroom.cli import tune_running

    with opened_place(call, sealed, passphrase_file) as place, _telling(call) as tell:
        job = found_job(place.store, job_id)
        became = tune_running.run_job(place, job, tell)
    return _report(call, place, job, became)


@command.command("run")
@_SEALED
@click.option("--once", is_flag=True, help="End when no job waits, instead of waiting for more.")
@passphrase_option
@shared_options
@click.pass_obj
def run(call: Call, sealed: Path, once: bool, passphrase_file: Path | None) -> int:
    """Work through the jobs that customers asked for at the gateway.

    One after another, oldest first; jobs that a dead runner left are taken up again. A session that
    a customer steers goes before them, until it is over. Stops with Ctrl-C after a checkpoint.
    """
    from strongroom.cli import tune_running, tune_session

    with opened_place(call, sealed, passphrase_file) as place, _telling(call) as tell:
        while not place.asked.stop:
            session = tune_session.next_session(place)
            if session is not None:
                tune_session.run_session(place, session)
                continue
            job = tune_running.next_job(place)
            if job is not None:
                became = tune_running.run_job(place, job, tell)
                if not call.json:
                    output.note(f"{job.id}: {became}")
            elif once:
                break
            else:
                time.sleep(_IDLE_SECONDS)
    return 0


@command.command("list")
@click.option("--org", metavar="NAME", help="Only those of one organisation.")
@shared_options
@click.pass_obj
def list_jobs(call: Call, org: str | None) -> None:
    """List jobs, newest first."""
    with opened_store(call) as store:
        found = store.jobs(org)
    if call.json:
        output.print_json({"jobs": [_public(job) for job in found]})
        return
    shown = [_public(job) | ({"loss": ""} if job.loss is None else {}) for job in found]
    output.print_table(_COLUMNS, shown)


@command.command("show")
@click.argument("job_id", metavar="JOB")
@shared_options
@click.pass_obj
def show(call: Call, job_id: str) -> None:
    """Show a job: how far it is, its loss, how long it needs yet."""
    with opened_store(call) as store:
        job = found_job(store, job_id)
        kept = [each.step for each in store.checkpoints(job_id)]
        privacy = _privacy(store, job)
    said = _public(job) | {"checkpoints": kept, "seconds_left": _left(job)} | privacy
    if call.json:
        output.print_json(said)
        return
    for name in ("created_at", "started_at", "finished_at"):
        said[name] = _time(said[name]) if said[name] else ""
    output.print_facts({name: value for name, value in said.items() if value not in (None, "")})


@command.command("events")
@click.argument("job_id", metavar="JOB")
@shared_options
@click.pass_obj
def events(call: Call, job_id: str) -> None:
    """Tell what happened to a job, oldest first."""
    import msgspec

    with opened_store(call) as store:
        found_job(store, job_id)
        found = store.events(job_id)[::-1]
    if call.json:
        output.print_json({"events": [msgspec.structs.asdict(each) for each in found]})
        return
    for each in found:
        click.echo(f"{_time(each.at)}  {each.message}")


@command.command("cancel")
@click.argument("job_id", metavar="JOB")
@shared_options
@click.pass_obj
def cancel(call: Call, job_id: str) -> None:
    """Cancel a job; a runner that works on it stops after the step that runs."""
    from strongroom.cli import tune_record
    from strongroom.cli.home import open_home
    from strongroom.store.tuning import StoredEvent

    with opened_store(call) as store:
        job = found_job(store, job_id)
        now = int(time.time())
        cancelled = store.end(job_id, "cancelled", now)
        if cancelled:
            store.add_event(StoredEvent(job_id, 0, now, "info", "Cancelled."))
    if cancelled:
        tune_record.record(open_home(call.home_path), job, "cancelled")
    else:
        raise ConfigurationRefused(
            "tune.job_over",
            f"The job {job_id} is over: {job.status}.",
            action="Only a job that waits or runs can be cancelled.",
        )
    if call.json:
        output.print_json({"job": job_id, "status": "cancelled"})
    else:
        output.note(f"{job_id} is cancelled.")


@contextmanager
def opened_place(call: Call, sealed: Path, passphrase_file: Path | None) -> Iterator[Place]:
    """What jobs run with; the same that ``serve`` has."""
    import os

    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli import passphrase, preconditions, release_policies
    from strongroom.cli.home import open_home
    from strongroom.cli.plan import Plan
    from strongroom.cli.tune_workload import Place
    from strongroom.store.tuning import open_tuning_store

    preconditions.require_extra()
    home = open_home(call.home_path)
    serving = home.settings.serving
    manifest = read_manifest(sealed, home.trust)
    home.releases.check(manifest)
    secret = passphrase.for_home(home, passphrase_file)
    policy = release_policies.of(home, serving, manifest)
    os.umask(0o077)
    with open_tuning_store(home.tuning) as store:
        yield Place(Plan(home, sealed.absolute(), manifest, serving, policy), secret, store)


@contextmanager
def opened_store(call: Call) -> Iterator[TuningStore]:
    """The store of tuning jobs of the home that ``call`` names."""
    from strongroom.cli.home import open_home
    from strongroom.store.tuning import open_tuning_store

    with open_tuning_store(open_home(call.home_path).tuning) as store:
        yield store


@contextmanager
def _telling(call: Call) -> Iterator[Tell]:
    """A bar on a terminal, a line now and then elsewhere, nothing for scripts."""
    if call.json or not sys.stderr.isatty():
        yield _silent if call.json else _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    words = TextColumn("{task.description}")
    with Progress(words, BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("Starting", total=None)

        def tell(job: StoredJob, left: float | None) -> None:
            bar.update(task, completed=job.step, total=job.steps, description=_words(job, left))

        yield tell


def _silent(_job: StoredJob, _left: float | None) -> None:
    return


def _lines() -> Tell:
    told = [0.0]

    def tell(job: StoredJob, left: float | None) -> None:
        now = time.monotonic()
        if now - told[0] >= _LINE_SECONDS or job.step == job.steps:
            told[0] = now
            output.note(f"step {job.step} of {job.steps}: {_words(job, left)}")

    return tell


def _words(job: StoredJob, left: float | None) -> str:
    hidden = "loss shows later" if _private(job) is None else "private: no loss shows"
    loss = hidden if job.loss is None else f"loss {job.loss:.2f}"
    return loss if left is None else f"{loss}, {_span(left)} left"


def _span(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def _left(job: StoredJob) -> int | None:
    """Seconds, from what its steps took so far; None for a job that does not run."""
    if job.status != "running" or not job.step:
        return None
    return round((time.time() - job.started_at) / job.step * (job.steps - job.step))


def found_job(store: TuningStore, job_id: str) -> StoredJob:
    """The job of this id; ``tune.no_job`` without one."""
    job = store.job(job_id)
    if job is None:
        raise ConfigurationRefused(
            "tune.no_job",
            f"There is no job {job_id}.",
            action="List the jobs with `strongroom tune list`.",
        )
    return job


def _privacy(store: TuningStore, job: StoredJob) -> dict[str, Any]:
    """What a private job costs, and all of its organisation's over this base together."""
    from strongroom.tune.ledger import of_base, spent

    private = _private(job)
    if private is None:
        return {}
    together = spent(of_base(job, store.jobs(job.organisation)), private.delta)
    return {
        "epsilon": round(private.epsilon, 3),
        "delta": private.delta,
        "epsilon_of_all_jobs": round(together, 3) if together < float("inf") else "unbounded",
    }


def _private(job: StoredJob) -> Private | None:
    import msgspec

    from strongroom.tune.policy import Recipe

    return msgspec.json.decode(job.recipe, type=Recipe).private


def _list_lines(call: Call, lines: tuple[BadLine, ...]) -> None:
    if call.json:
        output.print_json({"lines": [{"line": bad.number, "why": bad.reason} for bad in lines]})
        return
    for bad in lines:
        output.note(str(bad))


def _public(job: StoredJob) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(job)


def _report(call: Call, place: Place, job: StoredJob, became: Status) -> int:
    """What became of a job, and the exit code."""
    from strongroom.cli.tune_running import ADAPTER_FOLDER

    found = place.folder(job.id) / ADAPTER_FOLDER
    said: dict[str, Any] = {"job": job.id, "status": became, "adapter": job.adapter}
    if became == "succeeded":
        said["sealed"] = str(found)
    if call.json:
        output.print_json(said)
    else:
        output.print_facts(said)
        if became == "queued":
            output.note(f"It goes on with: strongroom tune resume {place.plan.sealed} {job.id}")
    return {"succeeded": 0, "cancelled": 0, "queued": 130}.get(became, 8)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
