"""``strongroom tenant``: the organisations that keys belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options

if TYPE_CHECKING:
    from strongroom.store.interface import Organisation


@click.group("tenant")
def command() -> None:
    """Create organisations, limit them, suspend them.

    An organisation, also called a tenant, stands above its keys. What its keys spend together is
    held against its limits, so more keys or accounts do not mean more budget.
    """


@command.command("create")
@click.argument("name")
@click.argument("limits", nargs=-1, metavar="[LIMIT]...")
@shared_options
@click.pass_obj
def create(call: Call, name: str, limits: tuple[str, ...]) -> None:
    """Make an organisation, with limits such as requests/minute=60.

    `tenant limits --help` lists what can be limited. A name that exists is refused.
    """
    from strongroom.cli import identities, limits_text
    from strongroom.errors import ConfigurationRefused
    from strongroom.ledger.entries import LimitsChanged, OrganisationChanged
    from strongroom.store.interface import check_organisation_name
    from strongroom.store.limits import UNLIMITED

    check_organisation_name(name)
    wanted = limits_text.parse(limits, UNLIMITED)
    with identities.opened(call) as office:
        if office.store.organisation(name) is not None:
            raise ConfigurationRefused(
                "cli.organisation_exists",
                f"There is an organisation named {name!r} already.",
                action="Choose another name, or change its limits with `strongroom tenant limits`.",
            )
        office.record(OrganisationChanged(name, "created", identities.by()))
        office.record(
            LimitsChanged("organisation", name, limits_text.recorded(wanted), identities.by())
        )
        office.store.add_organisation(name)
        office.store.set_organisation_limits(name, wanted)
        made = office.organisation(name)
    if call.json:
        output.print_json(_row(made))
        return
    click.echo(f"Made the organisation {name}. Its limits: {limits_text.in_words(wanted)}.")
    output.note(f"Next: strongroom key create --org {name}")


@command.command("list")
@shared_options
@click.pass_obj
def list_tenants(call: Call) -> None:
    """List organisations, the suspended ones included."""
    from strongroom.cli import identities

    with identities.opened(call) as office:
        rows = [_row(each) for each in office.store.organisations()]
    if call.json:
        output.print_json({"tenants": rows})
        return
    if not rows:
        click.echo("There are no organisations. Make one with `strongroom tenant create NAME`.")
        return
    shown = [
        {**row, "limits": ", ".join(f"{k}={v:,}" for k, v in row["limits"].items()) or "none"}
        for row in rows
    ]
    output.print_table(("name", "created", "state", "limits"), shown)


@command.command("suspend")
@click.argument("name")
@click.option("--reason", metavar="TEXT", default="", help="Why; it stands in the record.")
@shared_options
@click.pass_obj
def suspend(call: Call, name: str, reason: str) -> None:
    """Refuse everything of an organisation, and end what is under way, within a second.

    The same as `strongroom switch off NAME`.
    """
    from strongroom.cli.switch import turn

    turn(call, "tenant", name, on=False, reason=reason)


@command.command("resume")
@click.argument("name")
@shared_options
@click.pass_obj
def resume(call: Call, name: str) -> None:
    """Serve a suspended organisation again."""
    from strongroom.cli.switch import turn

    turn(call, "tenant", name, on=True, reason="")


@command.command("limits")
@click.argument("name")
@click.argument("limits", nargs=-1, metavar="[LIMIT]...")
@shared_options
@click.pass_obj
def limits_of(call: Call, name: str, limits: tuple[str, ...]) -> None:
    """Show or change what an organisation may spend.

    \b
    A LIMIT is one of
        requests/WINDOW=N          burst=N (how many of a minute's may come at once)
        input-tokens/WINDOW=N      output-tokens/WINDOW=N
        compute-seconds/WINDOW=N   egress-bits/WINDOW=N
        concurrent=N (requests under way at the same time)

    WINDOW is minute, day or total; =none takes a limit away. Windows slide: in no minute and in no
    day, wherever it starts, is more than the limit spent. Running gateways feel a change within a
    second. Without a LIMIT, show them.
    """
    from strongroom.cli import identities, limits_text
    from strongroom.ledger.entries import LimitsChanged

    with identities.opened(call) as office:
        wanted = limits_text.parse(limits, office.organisation(name).limits)
        if limits:
            recorded = limits_text.recorded(wanted)
            office.record(LimitsChanged("organisation", name, recorded, identities.by()))
            office.store.set_organisation_limits(name, wanted)
    if call.json:
        output.print_json({"name": name, "limits": limits_text.show(wanted)})
        return
    click.echo(f"Limits of {name}: {limits_text.in_words(wanted)}.")


def _row(organisation: Organisation) -> dict[str, Any]:
    from strongroom.cli.identities import time_text
    from strongroom.cli.limits_text import show

    return {
        "name": organisation.name,
        "created": time_text(organisation.created_at),
        "suspended": time_text(organisation.suspended_at),
        "state": "suspended" if organisation.suspended_at else "served",
        "limits": show(organisation.limits),
    }
