"""``strongroom prove``: is that model a copy of ours, and what would convince anybody else?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options

if TYPE_CHECKING:
    from strongroom.provenance.compare import Comparison
    from strongroom.watermark.interface import Scheme

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_library = click.option(
    "--library",
    metavar="DIR",
    type=_FOLDER,
    required=True,
    help="Folder of independent models' folders; `prove library` makes small ones.",
)


@click.group("prove")
def command() -> None:
    """Prove that a copy is a copy.

    Take a fingerprint of a sealed language model and register it before its release; compare a
    suspect's weights with it when there is one. See docs/provenance.md for what that proves.
    """


@command.command("fingerprint")
@click.argument("sealed", type=_FOLDER)
@click.argument("out", type=_FILE)
@passphrase_option
@shared_options
@click.pass_obj
def fingerprint(call: Call, sealed: Path, out: Path, passphrase_file: Path | None) -> None:
    """Take the fingerprint of SEALED and write the new file OUT.

    Keep it secret until a claim is made with it: who has it can look for changes that evade it.
    """
    from strongroom.cli.audit_opening import opened
    from strongroom.cli.home import open_home
    from strongroom.keys import private_file
    from strongroom.provenance.decoder import decoder
    from strongroom.provenance.fingerprint import SEED_BYTES, digest, encode, take

    with opened(open_home(call.home_path), sealed, passphrase_file) as model:
        parts = decoder(
            model.name, model.config, model.files.get("tokenizer.json", b""), model.tensors
        )
        taken = take(
            parts,
            name=model.name,
            release=model.release,
            manifest=model.digest,
            seed=os.urandom(SEED_BYTES),
        )
    raw = encode(taken)
    private_file.write_private(out, raw, replace=False)
    if call.json:
        output.print_json({"fingerprint": str(out), "digest": digest(raw)})
        return
    click.echo(f"Wrote {out}: {len(taken.layers)} layers of {taken.model}.")
    output.note("Register it before the model is released: `strongroom prove register`.")


@command.command("register")
@click.argument("file", type=_FILE)
@click.option(
    "--watermark-key",
    "watermark_keys",
    metavar="DIGEST",
    multiple=True,
    help="SHA-256 of a key that marks the model's answers, hex. Repeatable.",
)
@click.option(
    "--org",
    "tenants",
    metavar="ORG",
    multiple=True,
    help="Also the keys of this home that mark an organisation's answers. Repeatable.",
)
@shared_options
@click.pass_obj
def register(
    call: Call, file: Path, watermark_keys: tuple[str, ...], tenants: tuple[str, ...]
) -> None:
    """Commit to the fingerprint in FILE: its digest goes to the operators' log.

    So a claim cannot be made up later. A log that nobody else has a checkpoint of dates it only as
    well as its owner is believed: give one away (`strongroom log prove`).
    """
    from strongroom.cli import identities
    from strongroom.cli.home import open_home
    from strongroom.cli.proving import committed, read_fingerprint
    from strongroom.cli.proving_radioactivity import commitments
    from strongroom.ledger.entries import Committed
    from strongroom.provenance.fingerprint import digest

    home = open_home(call.home_path)
    raw, taken = read_fingerprint(file)
    keys = (*watermark_keys, *(key for each in tenants for key in commitments(home, each)))
    kinds = [("fingerprint", digest(raw)), *(("watermark_key", key) for key in keys)]
    for kind, value in kinds:
        entry = Committed(
            kind,  # type: ignore[arg-type]
            value,
            taken.model,
            taken.release,
            taken.manifest,
            identities.by(),
        )
        identities.record(home, entry)
    index = committed(home, digest(raw)).index
    if call.json:
        output.print_json({"digest": digest(raw), "index": index, "committed": len(kinds)})
        return
    click.echo(f"Committed: {digest(raw)} is record {index} of the operators' log.")


@command.command("library")
@click.argument("tokenizer", type=_FOLDER)
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--models", type=click.IntRange(8, 100), default=10, show_default=True)
@shared_options
@click.pass_obj
def library(call: Call, tokenizer: Path, out: Path, models: int) -> None:
    """Train small independent models into the new folder OUT: half a minute each.

    TOKENIZER is the plain model's folder; only its tokenizer.json is read.
    """
    from strongroom.provenance.independent import train_all

    for number, loss in enumerate(train_all(out, tokenizer / "tokenizer.json", models), 1):
        if not call.json:
            output.note(f"{number} of {models}: loss {loss:.2f}")
    if call.json:
        output.print_json({"library": str(out), "models": models})
        return
    click.echo(f"Wrote {out}.")


@command.command("detect")
@click.argument("file", type=_FILE)
@click.argument("suspect", type=_FOLDER)
@_library
@shared_options
@click.pass_obj
def detect(call: Call, file: Path, suspect: Path, library: Path) -> None:
    """Compare the folder SUSPECT with the fingerprint in FILE.

    SUSPECT holds config.json, tokenizer.json and safetensors; nothing of it is run.
    """
    import msgspec

    from strongroom.cli.proving import compared, read_fingerprint
    from strongroom.provenance.cell import cell

    _, taken = read_fingerprint(file)
    found, _ = compared(taken, suspect, library)
    if call.json:
        described = msgspec.to_builtins(cell(found))
        output.print_json({**_facts(found), "matched": found.suspect.matched, "cell": described})
        return
    output.print_facts(_facts(found))
    output.note("p is the chance that an independent model is as like. See `prove report`.")


@command.command("report")
@click.argument("file", type=_FILE)
@click.argument("suspect", type=_FOLDER)
@click.argument("out", type=_FILE)
@_library
@click.option(
    "--radioactivity",
    "probed",
    type=_FILE,
    help="What `prove radioactivity --json` printed about SUSPECT, to be shown too.",
)
@shared_options
@click.pass_obj
def report(
    call: Call, file: Path, suspect: Path, out: Path, library: Path, probed: Path | None
) -> None:
    """Compare as `detect` does, and write OUT: one printable HTML file for somebody else.

    The fingerprint must be registered: the report carries the proof that it is.
    """
    from strongroom.cli.audit import write_file
    from strongroom.cli.home import open_home
    from strongroom.cli.proving import compared, read_fingerprint, told
    from strongroom.cli.proving_radioactivity import learnt
    from strongroom.report.proof import render

    home = open_home(call.home_path)
    raw, taken = read_fingerprint(file)
    marked = None if probed is None else learnt(home, probed, suspect)
    found, model = compared(taken, suspect, library)
    write_file(out, render(told(home, raw, taken, model, suspect, found, marked)))
    if call.json:
        output.print_json({"written": str(out), **_facts(found)})
        return
    output.print_facts(_facts(found))
    click.echo(f"Wrote {out}.")


@command.command("answers")
@click.argument("file", type=_FILE)
@shared_options
@click.pass_obj
def answers(call: Call, file: Path) -> None:
    """Does a suspect answer as our model does, more than unrelated models do?

    FILE is JSON with one answer a prompt of the registered model, of suspects and of controls. It
    shows descent of behaviour, distillation too, and not that weights were copied.
    """
    import msgspec

    from strongroom.cli.bounded import content
    from strongroom.provenance import agreement

    asked = agreement.read(content(file), file.name)
    found = agreement.judge(asked, file.name)
    if call.json:
        output.print_json({"suspects": msgspec.to_builtins(found)})
        return
    rows = [
        {
            "suspect": one.suspect,
            "agrees": f"{one.registered:.3f}",
            "nearest_control": f"{one.nearest} {one.controls[one.nearest]:.3f}",
            "p": f"{one.p:.2g}",
            "descends": "yes" if one.descends else "not shown",
        }
        for one in found
    ]
    output.print_table(("suspect", "agrees", "nearest_control", "p", "descends"), rows)
    output.note("p is corrected for the number of suspects (Holm).")


@command.command("radioactivity")
@click.argument("model", type=_FOLDER)
@click.argument("suspect", type=_FOLDER)
@click.option("--org", "tenant", required=True, help="Whose mark to look for.")
@click.option("--scheme", type=click.Choice(["kgw", "synthid"]), help="Instead of the configured.")
@click.option(
    "--control",
    "controls",
    metavar="DIR",
    type=_FOLDER,
    multiple=True,
    required=True,
    help="Folder of a model that was trained alike on texts without the mark. Repeatable.",
)
@click.option("--texts", type=_FILE, required=True, help="Text without the mark to probe with.")
@shared_options
@click.pass_obj
def radioactivity(
    call: Call,
    model: Path,
    suspect: Path,
    tenant: str,
    scheme: Scheme | None,
    controls: tuple[Path, ...],
    texts: Path,
) -> None:
    """Has the model in the folder SUSPECT learnt from an organisation's marked answers?

    MODEL is the plain folder of the marked model, for its tokenizer. SUSPECT and the controls hold
    config.json, tokenizer.json and safetensors; no code of theirs is run. The key must be
    registered: `prove register --org`.
    """
    from strongroom.cli.home import open_home
    from strongroom.cli.proving_radioactivity import probed

    found = probed(open_home(call.home_path), model, suspect, tenant, scheme, controls, texts)
    if call.json:
        output.print_json(found)
        return
    facts = {name: value for name, value in found.items() if name not in ("weights", "cell")}
    output.print_facts({**facts, "controls": ", ".join(found["controls"])})
    output.note("p is over the key. It shows that marked answers were learnt from, not by whom.")


def _facts(found: Comparison) -> dict[str, Any]:
    return {
        "suspect": found.suspect.name,
        "verdict": found.verdict,
        "likeness": round(found.suspect.value, 4),
        "most_alike_of_library": round(max(one.value for one in found.library), 4),
        "p": float(f"{found.p:.3g}"),
        "p_by_rank": round(found.rank_p, 4),
    }
