"""``strongroom recipient``: key pairs of those who are to open models that others seal."""

from __future__ import annotations

from pathlib import Path

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options


@click.group("recipient")
def command() -> None:
    """Make the key pair of somebody who is to open models that others seal."""


@command.command("create")
@click.option(
    "--out",
    "public",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the public half goes: give it to owners of models.",
)
@click.option(
    "--identity",
    "private",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the private half goes.  [default: FILE.identity beside the public one]",
)
@shared_options
@click.pass_obj
def create(call: Call, public: Path, private: Path | None) -> None:
    """Make an HPKE key pair (ML-KEM-768 with X25519).

    The owner of a model gives the public file to `seal --recipient` or `rewrap --add`. Name the
    private file under [[unlock]] in strongroom.toml of the home that serves the model.
    """
    from strongroom.keys.hpke import HpkeIdentity

    private = private or public.with_name(public.name + ".identity")
    identity = HpkeIdentity.generate()
    try:
        identity.save(private)
        try:
            identity.recipient.save(public)
        except BaseException:
            private.unlink()
            raise
    finally:
        identity.close()
    if call.json:
        answer = {"public": str(public), "identity": str(private), "key_id": identity.key_id}
        output.print_json(answer)
        return
    output.print_facts(
        {
            "public": f"{public} (give it to owners of models)",
            "identity": f"{private} (keep it secret)",
            "key id": identity.key_id,
        }
    )
