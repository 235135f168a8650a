"""What the verbs of ``distil`` share: the workshop, the verdict, the student's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli import output
from strongroom.cli.call import Call

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.distil.beside import Beside
    from strongroom.distil.checks import Verdict
    from strongroom.distil.language.plan import Asked
    from strongroom.distil.making import Workshop
    from strongroom.distil.plan import AnyPlan, Plan
    from strongroom.distil.statement import Registered

_TOLD = "student.json"


@dataclass(frozen=True)
class Given:
    """What a judge is given: paths, as they are named on the command line."""

    sealed: Path
    plan: Path
    student: Path
    data: Path
    corpus: Path | None
    beside: tuple[Path, ...]
    passphrase_file: Path | None


@contextmanager
def workshop(
    call: Call, sealed: Path, plan: AnyPlan, data: Path, passphrase_file: Path | None
) -> Iterator[tuple[Home, Workshop]]:
    """The teacher and the records of ``plan``, while the block runs.

    Raises:
        ExposureRefused: ``distil.plan_unfit``, or what is wrong with model or records.
    """
    from strongroom.cli.audit_opening import opened
    from strongroom.cli.home import open_home
    from strongroom.distil.division import divide
    from strongroom.distil.making import Workshop
    from strongroom.distil.plan import Plan
    from strongroom.distil.reasons import refuse
    from strongroom.exposure.data import read_records
    from strongroom.exposure.model import classifier_of

    if not isinstance(plan, Plan):
        raise refuse("distil.plan_unfit", why="it is of a student of a language model")
    home = open_home(call.home_path)
    with opened(home, sealed, passphrase_file) as model:
        if model.digest != plan.teacher:
            raise refuse("distil.plan_unfit", why="it was made for another teacher")
        if digest(data) != plan.records:
            raise refuse("distil.plan_unfit", why="it was made for other records")
        teacher = classifier_of(model.config, model.tensors)
        split = read_records(data, teacher.input_shape, len(teacher.labels))
        yield home, Workshop(plan, teacher, model.config, divide(split, plan.seed))


def run_classifier(
    call: Call, sealed: Path, plan: Plan, student: Path, data: Path, passphrase_file: Path | None
) -> int:
    """Ask the teacher, train, and write the new folder; gives the rows asked."""
    with workshop(call, sealed, plan, data, passphrase_file) as (_, shop):
        target = shop.target()
        made = shop.student(target)
        asked: int = target.spent().queries
        config = dict(shop.config)
    if plan.layers:
        config["layers"] = [dict(layer) for layer in plan.layers]
    write_student(student, config, made, {"plan": plan.digest, "asked": asked})
    return asked


def registered(home: Home, plan: AnyPlan, student: Path) -> tuple[str, int | Registered]:
    """The digest of the student's weights, and the record that fixed it; of a language model's
    student those too that fixed its fingerprint and the keys of the teacher's marks.

    Raises:
        ExposureRefused: ``distil.not_registered``: nobody did, or for another teacher; a code of
            ``registered_language``.
        LedgerRefused: the log is damaged.
    """
    from strongroom.cli.commitments import first
    from strongroom.cli.distil_language_release import registered_language
    from strongroom.distil.plan import Plan
    from strongroom.distil.reasons import refuse

    weights = weights_digest(student)
    fixed = first(home, "student", weights)
    if fixed is None or fixed.entry.manifest_digest != plan.teacher:
        raise refuse("distil.not_registered")
    if isinstance(plan, Plan):
        return weights, fixed.index
    return weights, registered_language(home, plan, student, fixed.index)


def require_made_by(plan: AnyPlan, student: Path) -> None:
    """Refuse a student that was made by another plan.

    Raises:
        ExposureRefused: ``distil.plan_unfit``, ``distil.student_malformed``.
    """
    from strongroom.distil.language.folder import open_student
    from strongroom.distil.plan import Plan
    from strongroom.distil.reasons import refuse

    made = (
        read_student(student)[1]["plan"]
        if isinstance(plan, Plan)
        else open_student(student)[1].plan
    )
    if made != plan.digest:
        raise refuse("distil.plan_unfit", why="the student was made by another plan")


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


def others(home: Home, given: Given) -> Iterator[Beside]:
    """Each model beside the teacher, opened while it is looked at; the teacher itself is left out.

    Raises:
        ArtifactRefused: it is not acceptable.
        KeyRefused: no key of the home opens it.
        ExposureRefused: ``exposure.model_unsupported``.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli.audit_opening import opened
    from strongroom.cli.auditing_language import sealed_language_model
    from strongroom.distil.beside import Beside
    from strongroom.distil.similarity import as_matrices
    from strongroom.exposure.model import MODEL_TYPE

    seen = {read_manifest(given.sealed, home.trust).digest}
    for folder in given.beside:
        if read_manifest(folder, home.trust).digest in seen:
            continue
        with opened(home, folder, given.passphrase_file) as model:
            seen.add(model.digest)
            speaks = model.config.get("model_type") != MODEL_TYPE
            language = sealed_language_model(model) if speaks else None
            yield Beside(model.digest, as_matrices(model.tensors.values()), language)


@contextmanager
def judged(call: Call, given: Given) -> Iterator[tuple[Home, AnyPlan, int | Asked, Verdict]]:
    """The home, the plan, what was asked, and the verdict over the student in the folder."""
    from strongroom.cli.distil_language_release import judged_language
    from strongroom.distil.gate import judge
    from strongroom.distil.plan import Plan, read_plan
    from strongroom.distil.reasons import refuse

    declared = read_plan(given.plan)
    if not isinstance(declared, Plan):
        with judged_language(call, declared, given) as (home, asked, verdict):
            yield home, declared, asked, verdict
        return
    module, told = read_student(given.student)
    teacher = given.sealed, declared, given.data, given.passphrase_file
    with workshop(call, *teacher) as (home, shop):
        if told["plan"] != declared.digest:
            raise refuse("distil.plan_unfit", why="the student was made by another plan")
        output.note("Training students of other teachers to compare with.")
        verdict = judge(module, shop, told["asked"], others(home, given))
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


def write_classifier_demo(folder: Path) -> dict[str, Path]:
    """A classifier of digits in FOLDER/plain, and its owner's records."""
    import numpy as np

    from strongroom.cli.audit import write_file
    from strongroom.cli.audit_demo import safetensors
    from strongroom.exposure.demo.classifier import demo_classifier

    made = demo_classifier("digits")
    plain, records = folder / "plain", folder / "records.npz"
    make_folder(folder)
    make_folder(plain)
    write_file(plain / "config.json", json.dumps(made.config, indent=2).encode())
    write_file(plain / "model.safetensors", safetensors(made.tensors()))
    parts = (made.candidates, made.attacker, made.held)
    labels = np.concatenate([part.labels for part in parts])
    member = np.zeros(len(labels), dtype=np.int64)
    member[: len(made.members)] = made.members
    inputs = np.concatenate([part.inputs for part in parts])
    np.savez(records, inputs=inputs, labels=labels, member=member)
    return {"plain": plain, "records": records}


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


def in_records(index: int | Registered) -> str:
    """Where something was fixed, in words."""
    if isinstance(index, int):
        return f"record {index}"
    keys = ", ".join(map(str, index.watermark_keys))
    return f"record {index.weights}, its fingerprint {index.fingerprint}, keys of marks {keys}"


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
