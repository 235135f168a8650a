"""``strongroom schema``: schemas that answers can be held to."""

from __future__ import annotations

from pathlib import Path

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options


@click.group("schema")
def command() -> None:
    """Register the schemas of structured output.

    A caller names a registered schema in `response_format`, and every complete answer then fits it.
    Callers cannot bring schemas of their own. A change counts from the next start of `serve`.
    """


@command.command("add")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@shared_options
@click.pass_obj
def add(call: Call, name: str, file: Path) -> None:
    """Register the JSON Schema in FILE as NAME.

    It is compiled at once: what has no bound, is too large or is not supported is refused. See
    docs/structured-output.md for what is.
    """
    from strongroom.cli import identities
    from strongroom.cli.schemas import Schemas
    from strongroom.ledger.entries import SchemaChanged
    from strongroom.schemas.subset import MAX_BYTES

    with identities.opened(call) as office:
        schemas = Schemas(office.home.schemas)
        with file.open("rb") as source:
            compiled = schemas.add(name, source.read(MAX_BYTES + 1))
        office.record(SchemaChanged(name, "registered", compiled.digest, identities.by()))
        schemas.write(name, compiled)
    states = compiled.automaton.states
    if call.json:
        output.print_json({"name": name, "digest": compiled.digest, "states": states})
        return
    click.echo(f"Registered {name}: {states:,} states.")
    output.note("It counts from the next start of `strongroom serve`.")


@command.command("list")
@shared_options
@click.pass_obj
def list_schemas(call: Call) -> None:
    """List the registered schemas."""
    from strongroom.cli.home import open_home
    from strongroom.cli.schemas import Schemas

    schemas = Schemas(open_home(call.home_path).schemas)
    rows = []
    for name in schemas.names():
        compiled = schemas.compiled(name)
        rows.append({"name": name, "states": compiled.automaton.states, "digest": compiled.digest})
    if call.json:
        output.print_json({"schemas": rows})
        return
    if not rows:
        click.echo("There are no schemas. Register one with `strongroom schema add NAME FILE`.")
        return
    output.print_table(("name", "states", "digest"), rows)


@command.command("remove")
@click.argument("name")
@shared_options
@click.pass_obj
def remove(call: Call, name: str) -> None:
    """Forget the schema NAME."""
    from strongroom.cli import identities
    from strongroom.cli.schemas import Schemas
    from strongroom.ledger.entries import SchemaChanged

    with identities.opened(call) as office:
        schemas = Schemas(office.home.schemas)
        digest = schemas.compiled(name).digest
        schemas.remove(name)
        office.record(SchemaChanged(name, "removed", digest, identities.by()))
    if call.json:
        output.print_json({"name": name, "digest": digest})
        return
    click.echo(f"Removed {name}.")
