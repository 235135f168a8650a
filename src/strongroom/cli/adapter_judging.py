"""Has an adapter judged: finds it, starts the gate's process, asks it, and hears its answer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import msgspec

from strongroom.cli import lineage
from strongroom.cli.adapter_gate import GateConfig
from strongroom.cli.adapter_questions import Reader
from strongroom.cli.tune_running import ADAPTER_FOLDER
from strongroom.cli.tune_workload import Place, Workload
from strongroom.errors import BoundaryRefused, ExposureRefused
from strongroom.store.tuning import StoredJob
from strongroom.tune.export import wire
from strongroom.tune.export.gate import Check, History, Verdict
from strongroom.tune.export.purpose import Purpose
from strongroom.tune.export.wire import Answer, Questions
from strongroom.tune.frames import Speech
from strongroom.tune.reasons import refuse


def judged(
    place: Place,
    job: StoredJob,
    purpose: Purpose,
    ask: Callable[[Reader], Questions],
    recipients: tuple[str, ...] = (),
) -> Answer:
    """What the gate's process says of a job's adapter.

    Args:
        ask: makes the questions, once text can be made into ids.
        recipients: to whom an export is encrypted.

    Raises:
        StrongroomError: why it could not be judged; ``tune.export_ledger`` if an adapter that left
            before is no longer there to be judged with this one.
    """
    plan = place.plan
    settings = plan.home.settings.tuning
    adapter = folder_of(place, job)
    history, earlier = _history(place, job)
    workload = Workload(
        place,
        "cli.adapter_gate",
        lambda common, descriptor: GateConfig(
            **common,
            gate_fd=descriptor,
            purpose=purpose,
            job=job.id,
            organisation=job.organisation,
            adapter=str(adapter),
            earlier=tuple(map(str, earlier)),
            limits=settings.export,
            history=history,
            change=settings.policy.change,
            recipients=recipients,
            keyring=str(plan.home.keyring),
            required_walls=plan.serving.required_walls,
            threads=plan.threads,
        ),
        secret=True,
    )
    done = False
    try:
        descriptor = workload.socket.fileno()
        try:
            speech = wire.receive(descriptor, Speech)
            wire.send(descriptor, ask(Reader(speech, settings.policy)))
            answer = wire.receive(descriptor, Answer)
        except wire.HungUp:
            done = True
            workload.end()  # why it hung up, it says at its end
            raise _silent() from None
        done = True
        workload.end()
    finally:
        if not done:
            workload.kill()
    return answer


def folder_of(place: Place, job: StoredJob) -> Path:
    """The sealed adapter of a job of this base.

    Raises:
        ExposureRefused: ``tune.no_adapter``.
    """
    folder = place.plan.home.state / "tuning" / job.id / ADAPTER_FOLDER
    if job.status != "succeeded" or not folder.is_dir():
        raise refuse("tune.no_adapter", why=f"the job {job.id} is {job.status}")
    if job.manifest != place.plan.manifest.digest:
        raise refuse("tune.no_adapter", why="it was made for another release of its base")
    home = place.plan.home
    with lineage.of_home(home) as registry:
        fallen = registry.state(lineage.of_sealed(folder, home.trust))
    if fallen:
        raise refuse("tune.no_adapter", why=f"it was revoked ({fallen})")
    return folder


class GateRefused(ExposureRefused):
    """The code of the first check that failed; ``verdict`` has all of them."""

    def __init__(self, verdict: Verdict) -> None:
        first = verdict.failures[0]
        limit = f"{first.limit:g}"
        said = refuse(first.code, found=_figure(first), limit=limit, least=limit)
        super().__init__(said.code, said.message, action=said.action)
        self.verdict = verdict


def require_passed(verdict: Verdict) -> None:
    """Raises:
    GateRefused: a check failed.
    """
    if not verdict.passed:
        raise GateRefused(verdict)


def digest_of(verdict: Verdict) -> str:
    """SHA-256 of a verdict, hex, as the record has it."""
    return hashlib.sha256(msgspec.json.encode(verdict, order="sorted")).hexdigest()


def _figure(check: Check) -> str:
    return "not measured" if check.value is None else f"{check.value:g}"


def _history(place: Place, job: StoredJob) -> tuple[History, list[Path]]:
    """What left before, and where it lies sealed."""
    found = place.store.exports(job.organisation, job.manifest)
    folders = [
        place.plan.home.state / "tuning" / each.job / ADAPTER_FOLDER
        for each in found
        if each.job != job.id
    ]
    for folder in folders:
        if not folder.is_dir():
            raise refuse("tune.export_ledger", why=f"{folder}, which left before, is not there")
    spent = [math.inf if each.epsilon is None else each.epsilon for each in found]
    total = sum(spent)
    history = History(
        len(found),
        tuple(each.dataset for each in found),
        total if math.isfinite(total) else None,
    )
    return history, folders


def _silent() -> BoundaryRefused:
    return BoundaryRefused(
        "tune.bad_frame",
        "A message between an adapter's gate and its runner cannot be used.",
        action="Run the same version on both sides.",
    )
