"""``strongroom key``: API keys of organisations."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options

if TYPE_CHECKING:
    from strongroom.store.interface import KeyRecord, Scope

SCOPES = ("chat", "completions", "embeddings", "infer", "models", "tuning")


@click.group("key")
def command() -> None:
    """Create, limit, list and revoke API keys.

    Each key belongs to an organisation, which is what policies and budgets know callers by.
    """


@command.command("create")
@click.option("--org", metavar="NAME", required=True, help="Whose key it is; made if new.")
@click.option("--name", metavar="TEXT", default="", help="What the key is for.")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Days until it expires.  [default: never]"
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may be used for. Repeatable.  [default: everything]",
)
@click.option(
    "--limit",
    "limits",
    metavar="LIMIT",
    multiple=True,
    help="What it may spend, as in `strongroom key limits`. Repeatable.  [default: as its "
    "organisation]",
)
@shared_options
@click.pass_obj
def create(
    call: Call,
    org: str,
    name: str,
    days: int | None,
    scopes: tuple[Scope, ...],
    limits: tuple[str, ...],
) -> None:
    """Make a key and print it, once.

    Only a keyed digest of it is stored: nothing can show it again.
    """
    from strongroom.cli import identities, limits_text
    from strongroom.gateway.api_keys import digest, make_key
    from strongroom.gateway.config import read_pepper
    from strongroom.ledger.entries import KeyChanged, LimitsChanged, OrganisationChanged
    from strongroom.store.interface import ALL_SCOPES, KeyRecord, check_organisation_name
    from strongroom.store.limits import UNLIMITED

    check_organisation_name(org)
    wanted = limits_text.parse(limits, UNLIMITED)
    by, now = identities.by(), identities.now()
    expires = None if days is None else now + timedelta(days=days)
    granted = frozenset(scopes) or ALL_SCOPES
    with identities.opened(call) as office:
        pepper = read_pepper(office.home.keys / "pepper")
        key_id, text = make_key()
        if office.store.organisation(org) is None:
            office.record(OrganisationChanged(org, "created", by))
            office.store.add_organisation(org)
        office.record(KeyChanged(key_id, org, "created", _unix(expires), by))
        if limits:
            office.record(LimitsChanged("key", key_id, limits_text.recorded(wanted), by))
        office.store.add_key(
            KeyRecord(
                id=key_id,
                organisation=org,
                name=name,
                digest=digest(pepper, text),
                created_at=now,
                expires_at=expires,
                scopes=granted,
                limits=wanted,
            )
        )
    if call.json:
        expires_text = identities.time_text(expires)
        answer = {"key": text, "id": key_id, "organisation": org, "expires": expires_text}
        output.print_json({**answer, "scopes": sorted(granted), "limits": limits_text.show(wanted)})
        return
    click.echo(text)
    output.note(f"This key of {org} is shown once. Its id, to revoke it, is {key_id}.")


@command.command("list")
@click.option("--org", metavar="NAME", help="Only the keys of this organisation.")
@shared_options
@click.pass_obj
def list_keys(call: Call, org: str | None) -> None:
    """List keys, the revoked and expired ones included."""
    from strongroom.cli import identities

    with identities.opened(call) as office:
        records = office.store.keys(org)
    rows = [_row(record) for record in records]
    if call.json:
        output.print_json({"keys": rows})
        return
    if not rows:
        click.echo("There are no keys. Make one with `strongroom key create --org NAME`.")
        return
    shown = [{**row, "scopes": " ".join(row["scopes"])} for row in rows]
    output.print_table(("id", "organisation", "name", "created", "scopes", "state"), shown)


@command.command("revoke")
@click.argument("key_id")
@shared_options
@click.pass_obj
def revoke(call: Call, key_id: str) -> None:
    """Revoke the key with this id; a running gateway feels it within a second."""
    from strongroom.cli import identities
    from strongroom.ledger.entries import KeyChanged

    with identities.opened(call) as office:
        record = office.store.revoke_key(key_id, identities.now())
        office.record(KeyChanged(record.id, record.organisation, "revoked", 0, identities.by()))
    if call.json:
        output.print_json(_row(record))
        return
    click.echo(f"Revoked {record.id} of {record.organisation}.")


@command.command("limits")
@click.argument("key_id")
@click.argument("limits", nargs=-1, metavar="[LIMIT]...")
@shared_options
@click.pass_obj
def limits_of(call: Call, key_id: str, limits: tuple[str, ...]) -> None:
    """Show or change what a key may spend, within what its organisation may.

    A LIMIT is written as for `strongroom tenant limits`, such as requests/minute=60 or
    output-tokens/day=none. Without one, show them.
    """
    from strongroom.cli import identities, limits_text
    from strongroom.errors import ConfigurationRefused
    from strongroom.ledger.entries import LimitsChanged

    with identities.opened(call) as office:
        record = office.store.key(key_id)
        if record is None:
            raise ConfigurationRefused(
                "store.no_key", f"There is no key {key_id}.", action="List the keys for their ids."
            )
        wanted = limits_text.parse(limits, record.limits)
        if limits:
            recorded = limits_text.recorded(wanted)
            office.record(LimitsChanged("key", key_id, recorded, identities.by()))
            office.store.set_key_limits(key_id, wanted)
    if call.json:
        output.print_json({"id": key_id, "limits": limits_text.show(wanted)})
        return
    click.echo(f"Limits of {key_id}: {limits_text.in_words(wanted)}.")


def _unix(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp())


def _row(record: KeyRecord) -> dict[str, Any]:
    from strongroom.cli.identities import now, time_text
    from strongroom.cli.limits_text import show

    ended = "revoked" if record.revoked_at else "expired"
    return {
        "id": record.id,
        "organisation": record.organisation,
        "name": record.name,
        "created": time_text(record.created_at),
        "expires": time_text(record.expires_at),
        "revoked": time_text(record.revoked_at),
        "scopes": sorted(record.scopes),
        "limits": show(record.limits),
        "state": "in force" if record.usable(now()) else ended,
    }
