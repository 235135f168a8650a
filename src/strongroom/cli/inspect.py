"""``strongroom inspect``: what can be known of a sealed model, without a key and with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.cli.verify import signer_option, trust_of
from strongroom.errors import KeyRefused, StrongroomError

if TYPE_CHECKING:
    from strongroom.artifact.manifest import Manifest
    from strongroom.artifact.opening import SealedIndex
    from strongroom.artifact.trust import Trust


@click.command("inspect")
@click.argument("sealed", type=click.Path(path_type=Path))
@click.option(
    "--key/--no-key",
    "with_key",
    default=None,
    help="Open the index with the home's keys and list tensors, or do not try.  "
    "[default: if the home can without a passphrase]",
)
@signer_option
@passphrase_option
@shared_options
@click.pass_obj
def command(
    call: Call,
    sealed: Path,
    with_key: bool | None,
    signers: tuple[Path, ...],
    passphrase_file: Path | None,
) -> None:
    """Show what SEALED says of itself.

    Without a key that is the signed manifest: model id, release, sizes, who may open it. With this
    home's key the sealed index too: policy, files and tensors. Weights are not read; `verify` does
    that.
    """
    from strongroom.artifact.manifest import read_manifest

    trust, _ = trust_of(call, signers)
    manifest = read_manifest(sealed, trust)
    public = _public(sealed, manifest)
    index, reason = _index(call, sealed, manifest, trust, with_key, passphrase_file)
    if call.json:
        output.print_json(public | ({"index": None} if index is None else {"index": _inner(index)}))
        return
    _show_public(public)
    if index is None:
        click.echo(f"\nThe rest is sealed: {reason}")
    else:
        _show_inner(index)


def _index(
    call: Call,
    sealed: Path,
    manifest: Manifest,
    trust: Trust,
    with_key: bool | None,
    passphrase_file: Path | None,
) -> tuple[SealedIndex | None, str]:
    """The sealed index, or None and why it was not opened."""
    if with_key is False:
        return None, "it was not to be opened (--no-key)."
    from strongroom.artifact.opening import read_sealed_index
    from strongroom.cli import passphrase
    from strongroom.cli.home import open_home
    from strongroom.cli.unlocking import data_key

    try:
        home = open_home(call.home_path)
        if with_key is None and passphrase_file is None and passphrase.is_protected(home):
            return None, "this home needs its passphrase for it; use --key."
        with data_key(home, sealed, manifest, passphrase_file) as key:
            return read_sealed_index(sealed, key, trust=trust), ""
    except KeyRefused as error:
        if with_key or error.code != "cli.no_stanza":
            raise
        return None, error.message
    except StrongroomError as error:
        if with_key or error.code != "cli.no_home":
            raise
        return None, error.message


def _public(sealed: Path, manifest: Manifest) -> dict[str, Any]:
    from strongroom.artifact.rewrap import read_recipients

    parts = [{"name": p.name, "bytes": p.length, "segments": p.segments} for p in manifest.parts]
    stanzas = [{"kind": r.kind, "key_id": r.key_id} for r in read_recipients(sealed)]
    return {
        "model_id": manifest.model_id,
        "release": manifest.release,
        "digest": manifest.digest,
        "created": manifest.created,
        "not_after": manifest.not_after,
        "previous": manifest.previous,
        "suite": manifest.suite,
        "policy_digest": manifest.policy_digest,
        "bytes": sum(part.length for part in manifest.parts),
        "recipients": stanzas,
        "parts": parts,
    }


def _inner(index: SealedIndex) -> dict[str, Any]:
    import msgspec

    tensors = {
        name: {"dtype": entry.dtype, "shape": list(entry.shape), "bytes": entry.nbytes}
        for name, entry in index.tensors.items()
    }
    return {
        "policy": msgspec.to_builtins(index.policy),
        "files": {name: len(content) for name, content in index.files.items()},
        "tensors": tensors,
    }


def _show_public(public: dict[str, Any]) -> None:
    facts = {
        "model": f"{public['model_id']}, release {public['release']}",
        "digest": public["digest"],
        "created": public["created"],
        "not after": public["not_after"] or "no limit",
        "follows": public["previous"] or "nothing: a first release",
        "suite": public["suite"],
        "size": f"{output.size(public['bytes'])} in {len(public['parts'])} files",
    }
    output.print_facts(facts)
    for stanza in public["recipients"]:
        click.echo(f"opens for  {stanza['kind']}:{stanza['key_id']}")


def _show_inner(index: SealedIndex) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    click.echo()
    rungs = ", ".join(f"{who}: {rung}" for who, rung in index.policy.rungs.items())
    files = ", ".join(f"{name} ({output.size(len(raw))})" for name, raw in index.files.items())
    output.print_facts({"callers get": rungs, "files": files})
    table = Table("tensor", "dtype", "shape", box=None, padding=(0, 2, 0, 0))
    table.add_column("size", justify="right")
    for name, entry in index.tensors.items():
        shape = " x ".join(map(str, entry.shape)) or "scalar"
        table.add_row(Text(name), entry.dtype, shape, output.size(entry.nbytes))
    click.echo()
    Console(highlight=False).print(table)
    click.echo(f"{len(index.tensors)} tensors")
