"""``strongroom distil``: students that may be handed out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.cli.distilling import (
    digest,
    judged,
    make_folder,
    read_student,
    registered,
    require_passed,
    sha256,
    show,
    weights_digest,
    workshop,
    write_student,
)

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_STATEMENT = "release.json"
_data_option = click.option(
    "--data", metavar="FILE", type=_FILE, required=True, help="The owner's records, as for audit."
)


@click.group("distil")
def command() -> None:
    """Make small models that may be handed out, of classifiers that may not.

    The teacher is asked for labels through a metered target. What comes of it is released only if
    the teacher's training records cannot be found through it.
    """


@command.command("demo")
@click.argument("folder", type=_FOLDER)
@shared_options
@click.pass_obj
def demo(call: Call, folder: Path) -> None:
    """Write a teacher to try this with: FOLDER/plain, a classifier of digits, and records.npz."""
    import numpy as np

    from strongroom.cli.audit import write_file
    from strongroom.cli.audit_demo import safetensors
    from strongroom.exposure.demo.classifier import demo_classifier

    made = demo_classifier("digits")
    plain = folder / "plain"
    make_folder(folder)
    make_folder(plain)
    write_file(plain / "config.json", json.dumps(made.config, indent=2).encode())
    write_file(plain / "model.safetensors", safetensors(made.tensors()))
    parts = (made.candidates, made.attacker, made.held)
    labels = np.concatenate([part.labels for part in parts])
    member = np.zeros(len(labels), dtype=np.int64)
    member[: len(made.members)] = made.members
    inputs = np.concatenate([part.inputs for part in parts])
    np.savez(folder / "records.npz", inputs=inputs, labels=labels, member=member)
    if call.json:
        output.print_json({"plain": str(plain), "records": str(folder / "records.npz")})
    else:
        click.echo(f"Wrote {plain} and {folder / 'records.npz'}.")


@command.command("plan")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@_data_option
@click.option(
    "--queries", type=click.IntRange(1), default=450, show_default=True, help="Rows to ask at most."
)
@click.option(
    "--answers",
    type=click.Choice(["labels", "votes", "logits"]),
    default="labels",
    show_default=True,
    help="What the teacher tells.",
)
@click.option(
    "--grant",
    "grants",
    type=click.Choice(["soft-labels", "teacher-tensors"]),
    multiple=True,
    help="Allow what is refused by default.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of all that is random.")
@shared_options
@click.pass_obj
def make_plan(
    call: Call,
    sealed: Path,
    plan: Path,
    data: Path,
    queries: int,
    answers: str,
    grants: tuple[str, ...],
    seed: int,
) -> None:
    """Declare in PLAN what the teacher SEALED is to be asked, and what the student must keep to.

    PLAN is JSON: edit layers, epochs or limits in it before `run`.
    """
    import msgspec

    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli.audit import write_file
    from strongroom.cli.home import open_home
    from strongroom.distil.plan import Grants, Plan

    manifest = read_manifest(sealed, open_home(call.home_path).trust)
    made = Plan(
        manifest.digest,
        manifest.model_id,
        digest(data),
        queries,
        answers,  # type: ignore[arg-type]
        grants=Grants("soft-labels" in grants, "teacher-tensors" in grants),
        seed=seed,
    )
    made.require_granted()
    write_file(plan, msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    if call.json:
        output.print_json({"plan": str(plan), "digest": made.digest})
    else:
        click.echo(f"Wrote {plan}: {queries:,} rows, {answers}.")


@command.command("run")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@_data_option
@passphrase_option
@shared_options
@click.pass_obj
def run(
    call: Call, sealed: Path, plan: Path, student: Path, data: Path, passphrase_file: Path | None
) -> None:
    """Ask the teacher SEALED as PLAN says, and write the new folder STUDENT."""
    from strongroom.distil.plan import read_plan

    declared = read_plan(plan)
    with workshop(call, sealed, declared, data, passphrase_file) as (_, shop):
        target = shop.target()
        made = shop.student(target)
        asked = target.spent().queries
        config = dict(shop.config)
    if declared.layers:
        config["layers"] = [dict(layer) for layer in declared.layers]
    write_student(student, config, made, {"plan": declared.digest, "asked": asked})
    if call.json:
        output.print_json({"student": str(student), "asked": asked})
    else:
        click.echo(f"Wrote {student}. The teacher was asked {asked:,} rows.")
        output.note("Nobody has judged it yet: `strongroom distil gate`.")


@command.command("register")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@shared_options
@click.pass_obj
def register(call: Call, sealed: Path, plan: Path, student: Path) -> None:
    """Commit to STUDENT's weights: their digest goes to the operators' log, before the release.

    Any change of the weights needs another registration.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli import identities
    from strongroom.cli.home import open_home
    from strongroom.distil.plan import read_plan
    from strongroom.distil.reasons import refuse
    from strongroom.ledger.entries import Committed

    home, declared = open_home(call.home_path), read_plan(plan)
    manifest = read_manifest(sealed, home.trust)
    if manifest.digest != declared.teacher:
        raise refuse("distil.plan_unfit", why="it was made for another teacher")
    if read_student(student)[1]["plan"] != declared.digest:
        raise refuse("distil.plan_unfit", why="the student was made by another plan")
    fixed = weights_digest(student)
    entry = Committed(
        "student",
        fixed,
        manifest.model_id,
        manifest.release,
        manifest.digest,
        identities.by(),
    )
    identities.record(home, entry)
    _, index = registered(home, declared, student)
    if call.json:
        output.print_json({"digest": fixed, "index": index})
        return
    click.echo(f"Committed: {fixed} is record {index} of the operators' log.")


@command.command("gate")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@_data_option
@passphrase_option
@shared_options
@click.pass_obj
def gate(
    call: Call, sealed: Path, plan: Path, student: Path, data: Path, passphrase_file: Path | None
) -> None:
    """Judge STUDENT against PLAN's limits; fails with 11 if it may not be released."""
    with judged(call, sealed, plan, student, data, passphrase_file) as (*_, verdict):
        show(call, verdict)
        require_passed(verdict)


@command.command("release")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@_data_option
@passphrase_option
@shared_options
@click.pass_obj
def release(
    call: Call, sealed: Path, plan: Path, student: Path, data: Path, passphrase_file: Path | None
) -> None:
    """Judge STUDENT again, record the outcome, and sign a statement beside it if it passed.

    Its weights must be registered: `strongroom distil register`.
    """
    from strongroom.cli import audit_key, identities
    from strongroom.cli.audit import write_file
    from strongroom.cli.home import open_home
    from strongroom.distil.plan import read_plan
    from strongroom.distil.reasons import refuse
    from strongroom.distil.statement import WEIGHTS, Release, digests, signed
    from strongroom.ledger.entries import StudentReleased

    weights, index = registered(open_home(call.home_path), read_plan(plan), student)
    with judged(call, sealed, plan, student, data, passphrase_file) as (home, made, asked, verdict):
        signer = audit_key.load_or_create(home.keys / "audit.key")
        if digests(student)[WEIGHTS] != weights:
            raise refuse("distil.not_registered")  # exchanged while it was judged
        statement = signed(student, Release(made, made.digest, asked, index, verdict), signer)
        entry = StudentReleased(
            weights,
            made.teacher,
            sha256(statement),
            verdict.passed,
            identities.by(),
        )
        identities.record(home, entry)
        show(call, verdict)
        require_passed(verdict)
        write_file(student / _STATEMENT, statement)
    if not call.json:
        click.echo(f"Released: {student / _STATEMENT} is signed by {signer.key_id[:16]}….")


@command.command("verify")
@click.argument("student", type=_FOLDER)
@click.option(
    "--key", metavar="FILE", type=_FILE, help="The signer's audit.pub.  [default: this home's]"
)
@shared_options
@click.pass_obj
def verify(call: Call, student: Path, key: Path | None) -> None:
    """Check that STUDENT's files are those that its signed release speaks of."""
    from strongroom.cli.home import open_home
    from strongroom.distil.reasons import refuse
    from strongroom.distil.statement import checked

    path = key or open_home(call.home_path).keys / "audit.pub"
    try:
        public = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise refuse("distil.statement_invalid", path=student, why=str(error)) from None
    found = checked(student, student / _STATEMENT, public)
    if call.json:
        output.print_json({"ok": True, "teacher": found.plan.teacher, "asked": found.asked})
        return
    show(call, found.verdict)
    click.echo("Good: the files are those that were released.")
