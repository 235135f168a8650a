"""``strongroom doctor``: what this machine and this home lack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options
from strongroom.errors import EnvironmentLacks

if TYPE_CHECKING:
    from strongroom.cli.checks import Check

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@click.option(
    "--attack", is_flag=True, help="Also attack the keeper's walls for real, in children."
)
@click.option(
    "--profile",
    type=click.Choice(["no-exec", "jit"]),
    default="no-exec",
    show_default=True,
    help="The walls to attack.",
)
@shared_options
@click.pass_obj
def command(call: Call, attack: bool, profile: Literal["no-exec", "jit"]) -> int:
    """Check this machine and this home, and say what to do.

    A warning is a weakness that serving goes on with; a failure is not. The exit code is 0 unless
    something failed.
    """
    done = []
    for check in _checks(call, attack, profile):
        done.append(check)
        if not call.json:
            _show(check)
    failed = sum(check.state == "fail" for check in done)
    warned = sum(check.state == "warn" for check in done)
    if call.json:
        output.print_json({"ok": not failed, "checks": [asdict(check) for check in done]})
    else:
        click.echo(f"\n{len(done)} checks: {failed} failed, {warned} warnings")
    return EnvironmentLacks.exit_code if failed else 0


def _checks(call: Call, attack: bool, profile: Literal["no-exec", "jit"]) -> Iterator[Check]:
    from strongroom.cli import checks

    yield from checks.all_checks(call.home_path)
    if attack:
        yield from checks.check_attacks(profile)


def _show(check: Check) -> None:
    state = click.style(check.state.ljust(4), fg=_COLOURS[check.state], bold=True)
    line = output.wrapped(f"{check.state.ljust(4)}  {check.name.ljust(20)}  ", check.found)
    click.echo(line.replace(check.state.ljust(4), state, 1))
    if check.action:
        click.echo(output.wrapped(f"{'':28}do: ", check.action))
