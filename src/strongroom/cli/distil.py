"""``strongroom distil``: students that may be handed out."""

from __future__ import annotations

from pathlib import Path

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.cli.distilling import (
    Given,
    digest,
    in_records,
    judged,
    registered,
    require_made_by,
    require_passed,
    sha256,
    show,
    weights_digest,
)

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_STATEMENT = "release.json"
_corpus_option = click.option(
    "--corpus", metavar="FILE", type=_FILE, help="Public texts for a language model's student."
)
_beside_option = click.option(
    "--beside",
    metavar="SEALED",
    type=_FOLDER,
    multiple=True,
    help="Another model that the student must not hold. Repeatable.",
)
_data_option = click.option(
    "--data", metavar="FILE", type=_FILE, required=True, help="The owner's records, as for audit."
)


@click.group("distil")
def command() -> None:
    """Make small models that may be handed out, of models that may not.

    The teacher, a classifier or a language model, is asked through a metered target. What comes of
    it is released only if the teacher's training records cannot be found through it.
    """


@command.command("demo")
@click.argument("folder", type=_FOLDER)
@click.option("--language", is_flag=True, help="A language model instead of a classifier.")
@shared_options
@click.pass_obj
def demo(call: Call, folder: Path, language: bool) -> None:
    """Write a teacher to try this with: FOLDER/plain, a classifier of digits, and records.npz.

    With --language: a small one with planted secrets, records.jsonl, and corpus.jsonl.
    """
    from strongroom.cli.distil_language import write_language_demo
    from strongroom.cli.distilling import write_classifier_demo

    wrote = write_language_demo(folder) if language else write_classifier_demo(folder)
    if call.json:
        output.print_json({name: str(path) for name, path in wrote.items()})
    else:
        click.echo(f"Wrote {', '.join(map(str, wrote.values()))}.")


@command.command("plan")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@_data_option
@_corpus_option
@click.option(
    "--queries",
    type=click.IntRange(1),
    default=450,
    show_default=True,
    help="Rows to ask a classifier at most.",
)
@click.option(
    "--positions",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="Positions of text to ask a language model at most.",
)
@click.option(
    "--answers",
    type=click.Choice(["labels", "votes", "logits", "text", "top-k"]),
    help="What the teacher tells.  [default: labels; of a language model text]",
)
@click.option(
    "--tokenizer",
    type=click.Choice(["own", "teacher"]),
    default="own",
    show_default=True,
    help="Whose tokens a language model's student has.",
)
@click.option(
    "--init",
    type=click.Choice(["fresh", "teacher-embeddings", "teacher-layers"]),
    default="fresh",
    show_default=True,
    help="What a language model's student begins with.",
)
@click.option(
    "--grant",
    "grants",
    type=click.Choice(["soft-labels", "teacher-tensors", "teacher-tokenizer"]),
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
    corpus: Path | None,
    queries: int,
    positions: int,
    answers: str | None,
    tokenizer: str,
    init: str,
    grants: tuple[str, ...],
    seed: int,
) -> None:
    """Declare in PLAN what the teacher SEALED is to be asked, and what the student must keep to.

    FILE tells the kind: arrays are a classifier's records, JSON lines a language model's. PLAN is
    JSON: edit layers, epochs, steps or limits in it before `run`.
    """
    import msgspec

    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli.audit import write_file
    from strongroom.cli.distil_language import is_language, planned
    from strongroom.cli.home import open_home
    from strongroom.distil.plan import AnyPlan, Grants, Plan
    from strongroom.distil.reasons import refuse

    manifest = read_manifest(sealed, open_home(call.home_path).trust)
    teacher = manifest.digest, manifest.model_id
    made: AnyPlan
    if is_language(data):
        answers = answers or "text"
        digests = digest(data), None if corpus is None else digest(corpus)
        choices = tokenizer, init
        made = planned(teacher, digests, answers, positions, choices, grants, seed)
        most = f"{made.asked.positions:,} positions, {made.asked.bits:,} bits"
    else:
        answers = answers or "labels"
        if answers in ("text", "top-k"):
            raise refuse("distil.plan_unfit", why=f"a classifier does not answer with {answers}")
        made = Plan(
            *teacher,
            digest(data),
            queries,
            answers,  # type: ignore[arg-type]
            grants=Grants("soft-labels" in grants, "teacher-tensors" in grants),
            seed=seed,
        )
        made.require_granted()
        most = f"{queries:,} rows"
    write_file(plan, msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    if call.json:
        output.print_json({"plan": str(plan), "digest": made.digest})
    else:
        click.echo(f"Wrote {plan}: {most}, {answers}.")


@command.command("run")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@_data_option
@_corpus_option
@passphrase_option
@shared_options
@click.pass_obj
def run(
    call: Call,
    sealed: Path,
    plan: Path,
    student: Path,
    data: Path,
    corpus: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Ask the teacher SEALED as PLAN says, and write the new folder STUDENT."""
    import msgspec

    from strongroom.cli.distil_language import run_language
    from strongroom.cli.distilling import run_classifier
    from strongroom.distil.plan import Plan, read_plan

    declared = read_plan(plan)
    told: object
    if isinstance(declared, Plan):
        told = asked = run_classifier(call, sealed, declared, student, data, passphrase_file)
        said = f"{asked:,} rows"
    else:
        spent = run_language(call, sealed, declared, student, data, corpus, passphrase_file)
        told = msgspec.to_builtins(spent)
        said = f"{spent.positions:,} positions, {spent.bits:,} bits"
    if call.json:
        output.print_json({"student": str(student), "asked": told})
    else:
        click.echo(f"Wrote {student}. The teacher was asked {said}.")
        output.note("Nobody has judged it yet: `strongroom distil gate`.")


@command.command("register")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@click.option(
    "--org",
    "tenants",
    metavar="ORG",
    multiple=True,
    help="Whose key marks a language model's answers. Repeatable.  [default: those configured]",
)
@shared_options
@click.pass_obj
def register(call: Call, sealed: Path, plan: Path, student: Path, tenants: tuple[str, ...]) -> None:
    """Commit to STUDENT's weights: their digest goes to the operators' log, before the release.

    Of a language model's student the fingerprint too, which is kept with the home's keys, and the
    keys that mark the teacher's answers. Any change of the weights needs another registration.
    """
    import msgspec

    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli import identities
    from strongroom.cli.distil_language_release import register_language
    from strongroom.cli.home import open_home
    from strongroom.distil.plan import Plan, read_plan
    from strongroom.distil.reasons import refuse
    from strongroom.ledger.entries import Committed

    home, declared = open_home(call.home_path), read_plan(plan)
    manifest = read_manifest(sealed, home.trust)
    if manifest.digest != declared.teacher:
        raise refuse("distil.plan_unfit", why="it was made for another teacher")
    require_made_by(declared, student)
    fixed = weights_digest(student)
    if isinstance(declared, Plan):
        about = manifest.model_id, manifest.release, manifest.digest
        identities.record(home, Committed("student", fixed, *about, identities.by()))
    else:
        register_language(home, declared, manifest, student, tenants)
    _, index = registered(home, declared, student)
    if call.json:
        output.print_json({"digest": fixed, "index": msgspec.to_builtins(index)})
        return
    click.echo(f"Committed: {fixed} is {in_records(index)} of the operators' log.")


@command.command("gate")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@_data_option
@_corpus_option
@_beside_option
@passphrase_option
@shared_options
@click.pass_obj
def gate(
    call: Call,
    sealed: Path,
    plan: Path,
    student: Path,
    data: Path,
    corpus: Path | None,
    beside: tuple[Path, ...],
    passphrase_file: Path | None,
) -> None:
    """Judge STUDENT against PLAN's limits; fails with 11 if it may not be released."""
    given = Given(sealed, plan, student, data, corpus, beside, passphrase_file)
    with judged(call, given) as (*_, verdict):
        show(call, verdict)
        require_passed(verdict)


@command.command("release")
@click.argument("sealed", type=_FOLDER)
@click.argument("plan", type=_FILE)
@click.argument("student", type=_FOLDER)
@_data_option
@_corpus_option
@_beside_option
@passphrase_option
@shared_options
@click.pass_obj
def release(
    call: Call,
    sealed: Path,
    plan: Path,
    student: Path,
    data: Path,
    corpus: Path | None,
    beside: tuple[Path, ...],
    passphrase_file: Path | None,
) -> None:
    """Judge STUDENT again, record the outcome, and sign a statement beside it if it passed.

    It must be registered: `strongroom distil register`.
    """
    from strongroom.cli import audit_key, identities
    from strongroom.cli.audit import write_file
    from strongroom.cli.home import open_home
    from strongroom.distil.plan import read_plan
    from strongroom.distil.reasons import refuse
    from strongroom.distil.statement import WEIGHTS, digests, signed, stating
    from strongroom.ledger.entries import StudentReleased

    declared = read_plan(plan)
    weights, index = registered(open_home(call.home_path), declared, student)
    files = digests(student, declared)
    given = Given(sealed, plan, student, data, corpus, beside, passphrase_file)
    with judged(call, given) as (home, made, asked, verdict):
        signer = audit_key.load_or_create(home.keys / "audit.key")
        if digests(student, made) != files or files[WEIGHTS] != weights:
            raise refuse("distil.not_registered")  # exchanged while it was judged
        statement = signed(student, stating(made, asked, index, verdict), signer)
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
    import msgspec

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
        facts = {"teacher": found.plan.teacher, "asked": found.asked, "index": found.registered}
        output.print_json({"ok": True, **msgspec.to_builtins(facts)})
        return
    show(call, found.verdict)
    click.echo(f"Registered before: {in_records(found.registered)} of the signer's log.")
    click.echo("Good: the files are those that were released.")
