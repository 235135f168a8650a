"""``strongroom operator``: who may log in to the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.console.operators import Operator, Operators


@click.group("operator")
def command() -> None:
    """Create, list and revoke the keys that log in to the console.

    An operator sees organisations, budgets, refusals and signals, and can switch models and
    organisations off and on. Operators' keys serve no requests, and callers' keys log nobody in.
    """


@command.command("create")
@click.argument("name")
@shared_options
@click.pass_obj
def create(call: Call, name: str) -> None:
    """Make an operator's key and print it, once.

    NAME stands in the record beside what the operator did. Only a keyed digest of the key is
    stored: nothing can show it again.
    """
    from strongroom.cli import identities
    from strongroom.ledger.entries import OperatorChanged

    home = _home(call)

    def record(made: Operator) -> None:
        identities.record(home, OperatorChanged(made.id, name, "created", identities.by()))

    made, text = _operators(home).create(name, identities.now(), record)
    if call.json:
        output.print_json({"key": text, "id": made.id, "name": made.name})
        return
    click.echo(text)
    output.note(f"This key of {made.name} is shown once. Its id, to revoke it, is {made.id}.")


@command.command("list")
@shared_options
@click.pass_obj
def list_operators(call: Call) -> None:
    """List operators, the revoked ones included."""
    rows = [_row(each) for each in _operators(_home(call)).all()]
    if call.json:
        output.print_json({"operators": rows})
        return
    if not rows:
        click.echo("There are no operators. Make one with `strongroom operator create NAME`.")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "name", "created", "state", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(str(row[name])) for name in ("id", "name", "created", "state")))
    Console(highlight=False).print(table)


@command.command("revoke")
@click.argument("operator_id")
@shared_options
@click.pass_obj
def revoke(call: Call, operator_id: str) -> None:
    """Revoke the operator with this id; open sessions end at their next request."""
    from strongroom.cli import identities
    from strongroom.ledger.entries import OperatorChanged

    home = _home(call)
    revoked = _operators(home).revoke(operator_id, identities.now())
    entry = OperatorChanged(revoked.id, revoked.name, "revoked", identities.by())
    identities.record(home, entry)
    if call.json:
        output.print_json(_row(revoked))
        return
    click.echo(f"Revoked {revoked.id}, {revoked.name}.")


def _home(call: Call) -> Home:
    from strongroom.cli.home import open_home

    return open_home(call.home_path)


def _operators(home: Home) -> Operators:
    from strongroom.console.operators import Operators
    from strongroom.gateway.config import read_pepper

    return Operators(home.operators, read_pepper(home.keys / "pepper"))


def _row(operator: Operator) -> dict[str, Any]:
    return {
        "id": operator.id,
        "name": operator.name,
        "created": operator.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "state": "in force" if operator.revoked_at is None else "revoked",
    }
