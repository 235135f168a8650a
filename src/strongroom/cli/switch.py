"""``strongroom switch``: off within a second, on every replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options

if TYPE_CHECKING:
    from strongroom.cli.identities import Office
    from strongroom.store.interface import SwitchKind

_kind = click.option(
    "--model", "kind", flag_value="model", help="NAME is a model, as callers call it."
)
_tenant = click.option("--tenant", "kind", flag_value="tenant", help="NAME is an organisation.")


@click.group("switch")
def command() -> None:
    """Switch a model or an organisation off, and on again.

    Off works within a second on every gateway that shares the store, also on requests under way:
    their streams end. New requests are refused until it is on again.
    """


@command.command("off")
@click.argument("name")
@_kind
@_tenant
@click.option("--reason", metavar="TEXT", default="", help="Why; it stands in the record.")
@shared_options
@click.pass_obj
def off(call: Call, name: str, kind: SwitchKind | None, reason: str) -> None:
    """Switch off the organisation or, with --model, the model called NAME.

    Which models there are is not known here, so a model's name is taken as it is typed.
    """
    turn(call, kind, name, on=False, reason=reason)


@command.command("on")
@click.argument("name")
@_kind
@_tenant
@shared_options
@click.pass_obj
def on(call: Call, name: str, kind: SwitchKind | None) -> None:
    """Switch on what was switched off under this NAME."""
    turn(call, kind, name, on=True, reason="")


@command.command("list")
@shared_options
@click.pass_obj
def list_switches(call: Call) -> None:
    """List what is switched off."""
    from strongroom.cli.identities import opened, time_text

    with opened(call) as office:
        rows: list[dict[str, Any]] = [
            {
                "kind": each.kind,
                "name": each.name,
                "off_since": time_text(each.off_since),
                "reason": each.reason,
            }
            for each in office.store.switches()
        ]
    if call.json:
        output.print_json({"off": rows})
        return
    if not rows:
        click.echo("Nothing is switched off.")
        return
    output.print_table(("kind", "name", "off_since", "reason"), rows)


def turn(call: Call, kind: SwitchKind | None, name: str, *, on: bool, reason: str) -> None:
    """Switch, record, and say so."""
    from strongroom.cli.identities import by, opened
    from strongroom.console.switching import StoreSwitchboard

    if not 1 <= len(name) <= 128 or not (name + reason).isprintable() or len(reason) > 200:
        raise click.UsageError("names have at most 128, reasons 200 characters, all printable")
    with opened(call) as office:
        found = kind or _which(office, name, on=on)
        was_off = any((e.kind, e.name) == (found, name) for e in office.store.switches())
        if found == "tenant":
            office.organisation(name)
        board = StoreSwitchboard(office.store, office.record)
        board.switch(found, name, on, reason, by())
    state: Literal["on", "off"] = "on" if on else "off"
    changed = was_off == on
    if call.json:
        output.print_json({"kind": found, "name": name, "state": state, "changed": changed})
        return
    what = "organisation" if found == "tenant" else "model"
    click.echo(f"The {what} {name} is {state}." if changed else f"It was {state} already.")


def _which(office: Office, name: str, *, on: bool) -> SwitchKind:
    """What a bare name means: an organisation, or when switching on, the one thing that is off."""
    from strongroom.errors import ConfigurationRefused

    kinds = {each.kind for each in office.store.switches() if each.name == name} if on else set()
    if len(kinds) == 1:
        return kinds.pop()
    if office.store.organisation(name) is None or kinds:
        raise ConfigurationRefused(
            "cli.which_switch",
            f"It is not clear what {name!r} is: "
            + ("both are off." if kinds else "there is no organisation of that name."),
            action="Add --model if it is a model, or --tenant for an organisation.",
        )
    return "tenant"
