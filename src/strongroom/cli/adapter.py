"""``strongroom adapter``: what becomes of adapters: names, a look at them, and the gate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options

if TYPE_CHECKING:
    from strongroom.store.tuning import StoredJob
    from strongroom.tune.export.gate import Verdict

_HOUR = 3600
_PATH = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SEALED = click.argument("sealed", type=_PATH)
_JOB = click.argument("job_id", metavar="JOB")
_data = click.option("--data", metavar="FILE", type=_FILE, help="What the job was trained on.")
_held = click.option("--held", metavar="FILE", type=_FILE, help="Conversations like it, unseen.")
_canaries = click.option(
    "--canaries",
    metavar="FILE",
    type=_FILE,
    help="Lines of --data whose answer holds a planted number of four digits or more.",
)


@click.group("adapter")
def command() -> None:
    """Name adapters, look at them, and let one out if the gate's own attacks fail.

    Adapters are served where they were trained. One leaves only with the owner's signed grant,
    refactored, encrypted, and counted; merged weights never leave. Limits are those of
    [tuning.export] in strongroom.toml.
    """


@command.command("list")
@click.option("--org", metavar="NAME", help="Only those of one organisation.")
@shared_options
@click.pass_obj
def list_adapters(call: Call, org: str | None) -> None:
    """List sealed adapters, the names that mean them, and which have left."""
    from strongroom.cli.tune import opened_store

    with opened_store(call) as store:
        named: dict[str, list[str]] = {}
        taken = set()
        for each in store.promotions(org):  # newest first: an older one of a name does not count
            if (each.organisation, each.model, each.name) not in taken:
                taken.add((each.organisation, each.model, each.name))
                named.setdefault(each.job, []).append(f"{each.model}:{each.name}")
        rows = []
        for job in store.jobs(org):
            if job.status == "succeeded":
                left = [e for e in store.exports(job.organisation, job.manifest) if e.job == job.id]
                rows.append(_row(job, named.get(job.id, []), bool(left)))
    if call.json:
        output.print_json({"adapters": rows})
        return
    shown = [{**row, "promoted": ", ".join(row["promoted"])} for row in rows]
    output.print_table(("job", "organisation", "adapter", "model", "promoted", "exported"), shown)


@command.command("scan")
@_SEALED
@_JOB
@passphrase_option
@shared_options
@click.pass_obj
def scan(call: Call, sealed: Path, job_id: str, passphrase_file: Path | None) -> None:
    """Look at an adapter's matrices: sizes, spectra, modules. Advice, not a verdict.

    A flag says that a matrix is unlike those of other layers, or nearly one direction. A backdoor
    that was trained as any adapter is not seen so: `promote` probes for those.
    """
    from strongroom.cli.adapter_judging import judged
    from strongroom.cli.tune import found_job, opened_place
    from strongroom.tune.export.wire import Questions

    with opened_place(call, sealed, passphrase_file) as place:
        answer = judged(place, found_job(place.store, job_id), "scan", lambda _: Questions())
    rows = [_asdict(each) for each in answer.scan]
    if call.json:
        output.print_json({"places": rows, "flagged": sum(bool(row["flag"]) for row in rows)})
        return
    shown = [{k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    output.print_table(("place", "change", "alone", "ratio", "flag"), shown)


@command.command("attack")
@_SEALED
@_JOB
@_data
@_held
@_canaries
@passphrase_option
@shared_options
@click.pass_obj
def attack(
    call: Call,
    sealed: Path,
    job_id: str,
    data: Path | None,
    held: Path | None,
    canaries: Path | None,
    passphrase_file: Path | None,
) -> int:
    """Try on an adapter what the gate tries, with full knowledge; nothing leaves.

    The gradient oracle, recovery of the base from all that left, and, with files to measure by,
    membership inference and canaries. Fails with 11 if the gate would refuse.
    """
    from strongroom.cli.adapter_judging import judged
    from strongroom.cli.adapter_questions import Files
    from strongroom.cli.tune import found_job, opened_place

    files = Files(data, held, canaries)
    with opened_place(call, sealed, passphrase_file) as place:
        job = found_job(place.store, job_id)
        answer = judged(place, job, "attack", lambda reader: reader.to_leave(files, job))
    if call.json:
        output.print_json(
            {
                **_verdict(answer.verdict),
                "oracle": {each.place: each.cosine for each in answer.oracle},
                "weights": answer.merges,
                "scan": [_asdict(each) for each in answer.scan],
                "walls": answer.walls,
            }
        )
    else:
        _show(answer.verdict)
    return 0 if answer.verdict.passed else 11


@command.command("promote")
@_SEALED
@_JOB
@click.argument("name")
@_data
@_held
@click.option("--trigger", "triggers", metavar="TEXT", multiple=True, help="Probe this, too.")
@passphrase_option
@shared_options
@click.pass_obj
def promote(
    call: Call,
    sealed: Path,
    job_id: str,
    name: str,
    data: Path | None,
    held: Path | None,
    triggers: tuple[str, ...],
    passphrase_file: Path | None,
) -> None:
    """Let NAME of an organisation mean this adapter, if it does no harm that can be measured.

    Its loss on --held must be no worse than the base's, no trigger that is probed may move it
    much further from the base than plain prompts do, and no phrase of --data may bring that data's
    own answer after other prompts. `rollback` undoes it.
    """
    from strongroom.cli import identities
    from strongroom.cli.adapter_judging import digest_of, judged, require_passed
    from strongroom.cli.adapter_questions import Files
    from strongroom.cli.tune import found_job, opened_place
    from strongroom.ledger.entries import AdapterPromoted
    from strongroom.store.exports import StoredPromotion
    from strongroom.tune.export.names import require_name

    require_name(name)
    files = Files(data=data, held=held, triggers=triggers)
    with opened_place(call, sealed, passphrase_file) as place:
        job = found_job(place.store, job_id)
        answer = judged(place, job, "promote", lambda reader: reader.to_be_promoted(files, job))
        if not call.json:
            _show(answer.verdict)
        require_passed(answer.verdict)
        gate = digest_of(answer.verdict)
        entry = AdapterPromoted(job.organisation, job.model, name, job.id, gate, identities.by())
        identities.record(place.plan.home, entry)
        place.store.promote(
            StoredPromotion(
                job.organisation, job.model, name, job.id, job.manifest, gate, int(time.time())
            )
        )
    if call.json:
        said = {"name": f"{job.model}:{name}", "job": job.id, "organisation": job.organisation}
        output.print_json(said | _verdict(answer.verdict))
    else:
        click.echo(f"{job.model}:{name} of {job.organisation} means {job.id} now.")


@command.command("rollback")
@click.argument("model")
@click.argument("name")
@click.option("--org", metavar="NAME", default="owner", help="Whose name it is.  [default: owner]")
@shared_options
@click.pass_obj
def rollback(call: Call, model: str, name: str, org: str) -> None:
    """Let NAME of MODEL mean again what it meant before its last promotion."""
    from strongroom.cli import identities
    from strongroom.cli.home import open_home
    from strongroom.cli.tune import opened_store
    from strongroom.ledger.entries import AdapterRolledBack
    from strongroom.tune.reasons import refuse

    with opened_store(call) as store:
        ended = store.promoted(org, model, name)
        if ended is None or not store.roll_back(org, model, name, int(time.time())):
            raise refuse("tune.no_adapter", why=f"nothing is promoted as {model}:{name} of {org}")
        now = store.promoted(org, model, name)
    means = now.job if now else ""
    entry = AdapterRolledBack(org, model, name, ended.job, means, identities.by())
    identities.record(open_home(call.home_path), entry)
    if call.json:
        output.print_json({"name": f"{model}:{name}", "ended": ended.job, "job": means or None})
    else:
        click.echo(f"{model}:{name} of {org} means {means or 'nothing'} now.")


@command.command("grant")
@_SEALED
@_JOB
@click.argument("out", type=_PATH)
@click.option(
    "--to", "recipients", metavar="AGE", multiple=True, required=True, help="age1...; repeatable."
)
@click.option(
    "--hours", type=click.IntRange(1, 2160), default=24, show_default=True, help="How long."
)
@passphrase_option
@shared_options
@click.pass_obj
def grant(
    call: Call,
    sealed: Path,
    job_id: str,
    out: Path,
    recipients: tuple[str, ...],
    hours: int,
    passphrase_file: Path | None,
) -> None:
    """Sign in OUT that an adapter may be exported, encrypted to these recipients and nobody else.

    It allows the gate to be asked; it does not stand in for what the gate tries.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli import granting, passphrase, signing_key_file
    from strongroom.cli.home import open_home
    from strongroom.cli.tune import found_job, opened_store
    from strongroom.tune.export.grant import ExportGrant, require_same, signed
    from strongroom.tune.export.recipients import require_recipients

    require_recipients(recipients)
    home = open_home(call.home_path)
    base = read_manifest(sealed, home.trust).digest
    with opened_store(call) as store:
        job = found_job(store, job_id)
    made = ExportGrant(
        job=job.id,
        organisation=job.organisation,
        manifest=base,
        recipients=recipients,
        not_after=int(time.time()) + hours * _HOUR,
    )
    require_same(
        made,
        job=job.id,
        organisation=job.organisation,
        manifest=job.manifest,
        allowed=home.settings.tuning.export.recipients,
    )
    secret = passphrase.for_home(home, passphrase_file)
    granting.write_new(out, signed(made, signing_key_file.load(home.keys / "signing.key", secret)))
    if call.json:
        output.print_json({"grant": str(out), **_asdict(made)})
    else:
        click.echo(f"Wrote {out}. Next: strongroom adapter export {sealed} {job.id} {out} OUT.age")


@command.command("export")
@_SEALED
@_JOB
@click.argument("grant_file", metavar="GRANT", type=_FILE)
@click.argument("out", type=_PATH)
@_data
@_held
@_canaries
@passphrase_option
@shared_options
@click.pass_obj
def export(
    call: Call,
    sealed: Path,
    job_id: str,
    grant_file: Path,
    out: Path,
    data: Path | None,
    held: Path | None,
    canaries: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Run the gate, and write the encrypted adapter OUT and its statement OUT.json if it passes.

    Whether it passes or not stands in the operators' record. An adapter that leaves is counted
    before it is written.
    """
    from strongroom.cli.adapter_judging import GateRefused
    from strongroom.cli.adapter_leaving import leave
    from strongroom.cli.adapter_questions import Files
    from strongroom.cli.tune import found_job, opened_place

    files = Files(data, held, canaries)
    with opened_place(call, sealed, passphrase_file) as place:
        job = found_job(place.store, job_id)
        try:
            left = leave(place, job, grant_file, out, files, None if call.json else _show)
        except GateRefused as refused:
            if call.json:
                output.print_json(_verdict(refused.verdict))
            raise
    if call.json:
        output.print_json(_asdict(left) | _verdict(left.verdict) | {"file": str(out)})
    else:
        click.echo(f"Wrote {out} and {out}.json: number {left.number} to {left.organisation}.")


@command.command("verify")
@click.argument("file", type=_FILE)
@click.option(
    "--key", metavar="FILE", type=_FILE, help="The signer's audit.pub.  [default: this home's]"
)
@shared_options
@click.pass_obj
def verify(call: Call, file: Path, key: Path | None) -> None:
    """Check that FILE is what the signed statement FILE.json says left, and show its checks."""
    from strongroom.cli.home import open_home
    from strongroom.tune.export.statement import checked
    from strongroom.tune.reasons import refuse

    statement = file.with_name(f"{file.name}.json")
    path = key or open_home(call.home_path).keys / "audit.pub"
    try:
        public = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise refuse("tune.export_statement", path=statement, why=str(error)[:200]) from None
    found = checked(file, statement, public)
    if call.json:
        output.print_json(_asdict(found) | _verdict(found.verdict))
        return
    _show(found.verdict)
    click.echo("Good: the file is the one that left.")


def _row(job: StoredJob, promoted: list[str], exported: bool) -> dict[str, Any]:
    return {
        "job": job.id,
        "organisation": job.organisation,
        "adapter": job.adapter,
        "model": job.model,
        "promoted": promoted,
        "exported": exported,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    import msgspec

    return {"passed": verdict.passed, "checks": msgspec.to_builtins(verdict.checks)}


def _show(verdict: Verdict) -> None:
    rows = [
        {
            "check": check.name,
            "value": "not measured" if check.value is None else f"{check.value:g}",
            "limit": f"{check.limit:g}",
            "outcome": check.outcome,
            "note": check.note,
        }
        for check in verdict.checks
    ]
    output.print_table(("check", "value", "limit", "outcome", "note"), rows)


def _asdict(struct: Any) -> dict[str, Any]:
    import msgspec

    return dict(msgspec.to_builtins(struct))
