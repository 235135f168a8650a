"""What the verbs of ``distil`` share: the workshop, the verdict, the student's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli import output
from strongroom.cli.call import Call

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.distil.gate import Verdict
    from strongroom.distil.making import Workshop
    from strongroom.distil.plan import Plan

_TOLD = "student.json"


@contextmanager
def workshop(
    call: Call, sealed: Path, plan: Plan, data: Path, passphrase_file: Path | None
) -> Iterator[tuple[Home, Workshop]]:
    """The teacher and the records of ``plan``, while the block runs.

    Raises:
        ExposureRefused: ``distil.plan_unfit``, or what is wrong with model or records.
    """
    from strongroom.cli.audit_opening import opened
    from strongroom.cli.home import open_home
    from strongroom.distil.division import divide
    from strongroom.distil.making import Workshop
    from strongroom.distil.reasons import refuse
    from strongroom.exposure.data import read_records
    from strongroom.exposure.model import classifier_of

    home = open_home(call.home_path)
    with opened(home, sealed, passphrase_file) as model:
        if model.digest != plan.teacher:
            raise refuse("distil.plan_unfit", why="it was made for another teacher")
        if digest(data) != plan.records:
            raise refuse("distil.plan_unfit", why="it was made for other records")
        teacher = classifier_of(model.config, model.tensors)
        split = read_records(data, teacher.input_shape, len(teacher.labels))
        yield home, Workshop(plan, teacher, model.config, divide(split, plan.seed))


def registered(home: Home, plan: Plan, student: Path) -> tuple[str, int]:
    """The digest of the student's weights, and the record that fixed it.

    Raises:
        ExposureRefused: ``distil.not_registered``: nobody did, or for another teacher.
        LedgerRefused: the log is damaged.
    """
    from strongroom.cli.commitments import first
    from strongroom.distil.reasons import refuse

    weights = weights_digest(student)
    fixed = first(home, "student", weights)
    if fixed is None or fixed.entry.manifest_digest != plan.teacher:
        raise refuse("distil.not_registered")
    return weights, fixed.index


def weights_digest(student: Path) -> str:
    """SHA-256 of the file with the student's weights, hex.

    Raises:
        ExposureRefused: ``distil.student_malformed``.
    """
    from strongroom.distil.reasons import refuse
    from strongroom.distil.statement import WEIGHTS

    try:
        return sha256((student / WEIGHTS).read_bytes())
    except OSError as error:
        raise refuse("distil.student_malformed", path=student, why=error.strerror) from None


@contextmanager
def judged(
    call: Call,
    sealed: Path,
    plan: Path,
    student: Path,
    data: Path,
    passphrase_file: Path | None,
) -> Iterator[tuple[Home, Plan, int, Verdict]]:
    """The home, the plan, the rows asked, and the verdict over the student in the folder."""
    from strongroom.distil.gate import judge
    from strongroom.distil.plan import read_plan
    from strongroom.distil.reasons import refuse

    declared = read_plan(plan)
    module, told = read_student(student)
    with workshop(call, sealed, declared, data, passphrase_file) as (home, shop):
        if told["plan"] != declared.digest:
            raise refuse("distil.plan_unfit", why="the student was made by another plan")
        output.note("Training students of other teachers to compare with.")
        verdict = judge(module, shop, told["asked"])
        yield home, declared, told["asked"], verdict


def write_student(folder: Path, config: dict[str, Any], module: Any, told: dict[str, Any]) -> None:
    """The new folder with a student, and beside it what ``run`` tells ``gate``."""
    from safetensors.torch import save

    from strongroom.cli.audit import write_file

    make_folder(folder)
    tensors = {}
    for layer, part in zip(config["layers"], list(module)[1:], strict=True):
        for name, values in part.state_dict().items():
            tensors[f"{layer['name']}.{name}"] = values.contiguous()
    write_file(folder / "config.json", json.dumps(config, indent=2).encode())
    write_file(folder / "model.safetensors", save(tensors))
    write_file(folder / _TOLD, json.dumps(told).encode())


def make_folder(folder: Path) -> None:
    """A new one: nothing is written over."""
    from strongroom.errors import ConfigurationRefused

    try:
        folder.mkdir()
    except OSError as error:
        raise ConfigurationRefused(
            "cli.cannot_make_folder",
            f"{folder} cannot be made: {error.strerror}.",
            action="Name a folder that does not exist, in one that does.",
        ) from None


def read_student(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The student's module, and what ``run`` told of it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from strongroom.distil.reasons import refuse
    from strongroom.exposure.model import classifier_of

    try:
        config = json.loads((folder / "config.json").read_bytes())
        tensors = load((folder / "model.safetensors").read_bytes())
        told = json.loads((folder / _TOLD).read_bytes())
        if not isinstance(told["plan"], str) or type(told["asked"]) is not int:
            raise ValueError(f"{_TOLD} is not what `run` writes")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise refuse("distil.student_malformed", path=folder, why=str(error)[:200]) from None
    return classifier_of(config, tensors).module, told


def show(call: Call, verdict: Verdict) -> None:
    """Every check, as a table or as JSON."""
    import msgspec

    if call.json:
        output.print_json({"passed": verdict.passed, **msgspec.to_builtins(verdict)})
        return
    rows = [
        {
            "check": check.name,
            "value": "not measurable" if check.value is None else f"{check.value:g}",
            "limit": "" if check.limit is None else f"{check.limit:g}",
            "outcome": check.outcome,
            "note": check.note,
        }
        for check in verdict.checks
    ]
    output.print_table(("check", "value", "limit", "outcome", "note"), rows)


def require_passed(verdict: Verdict) -> None:
    """Refuse with ``distil.gate_failed`` unless it passed."""
    from strongroom.distil.reasons import refuse

    if not verdict.passed:
        raise refuse("distil.gate_failed", count=len(verdict.failures))


def digest(path: Path) -> str:
    """SHA-256 of the owner's records, hex."""
    from strongroom.exposure.reasons import refuse

    try:
        return sha256(path.read_bytes())
    except OSError as error:
        raise refuse("exposure.data_unreadable", path=path, why=error.strerror) from None


def sha256(content: bytes) -> str:
    """The digest, hex."""
    import hashlib

    return hashlib.sha256(content).hexdigest()
