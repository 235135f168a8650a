"""``strongroom key``: API keys of organisations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.store.interface import KeyRecord, IdentityStore


@click.group("key")
def command() -> None:
    """Create, list and revoke API keys.

    Each key belongs to an organisation, which is what policies and budgets know callers by.
    """


@command.command("create")
@click.option("--org", metavar="NAME", required=True, help="Whose key it is; made if new.")
@click.option("--name", metavar="TEXT", default="", help="What the key is for.")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Days until it expires.  [default: never]"
)
@shared_options
@click.pass_obj
def create(call: Call, org: str, name: str, days: int | None) -> None:
    """Make a key and print it, once.

    Only a keyed digest of it is stored: nothing can show it again.
    """
    from strongroom.gateway.api_keys import digest, make_key
    from strongroom.gateway.config import read_pepper
    from strongroom.store.interface import KeyRecord

    with _store(call) as (home, store):
        pepper = read_pepper(home.keys / "pepper")
        key_id, text = make_key()
        now = datetime.now(UTC).replace(microsecond=0)
        expires = None if days is None else now + timedelta(days=days)
        store.add_organisation(org)
        store.add_key(KeyRecord(key_id, org, name, digest(pepper, text), now, expires))
    if call.json:
        answer = {"key": text, "id": key_id, "organisation": org, "expires": _time(expires)}
        output.print_json(answer)
        return
    click.echo(text)
    output.note(f"This key of {org} is shown once. Its id, to revoke it, is {key_id}.")


@command.command("list")
@click.option("--org", metavar="NAME", help="Only the keys of this organisation.")
@shared_options
@click.pass_obj
def list_keys(call: Call, org: str | None) -> None:
    """List keys, the revoked and expired ones included."""
    with _store(call) as (_, store):
        records = store.keys(org)
    now = datetime.now(UTC)
    rows = [_row(record, now) for record in records]
    if call.json:
        output.print_json({"keys": rows})
        return
    if not rows:
        click.echo("There are no keys. Make one with `strongroom key create --org NAME`.")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "organisation", "name", "created", "state", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        columns = (row["id"], row["organisation"], row["name"], row["created"], row["state"])
        table.add_row(*(Text(column) for column in columns))
    Console(highlight=False).print(table)


@command.command("revoke")
@click.argument("key_id")
@shared_options
@click.pass_obj
def revoke(call: Call, key_id: str) -> None:
    """Revoke the key with this id; a running gateway feels it within a second."""
    with _store(call) as (_, store):
        record = store.revoke_key(key_id, datetime.now(UTC).replace(microsecond=0))
    if call.json:
        output.print_json(_row(record, datetime.now(UTC)))
        return
    click.echo(f"Revoked {record.id} of {record.organisation}.")


@contextmanager
def _store(call: Call) -> Iterator[tuple[Home, IdentityStore]]:
    from strongroom.cli.home import open_home
    from strongroom.store.sqlite import SqliteStore

    home = open_home(call.home_path)
    with SqliteStore(home.database) as store:
        yield home, store


def _row(record: KeyRecord, now: datetime) -> dict[str, Any]:
    ended = "revoked" if record.revoked_at else "expired"
    return {
        "id": record.id,
        "organisation": record.organisation,
        "name": record.name,
        "created": _time(record.created_at),
        "expires": _time(record.expires_at),
        "revoked": _time(record.revoked_at),
        "state": "in force" if record.usable(now) else ended,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
