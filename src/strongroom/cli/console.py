"""``strongroom console``: the operators' pages."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options
from strongroom.errors import EnvironmentLacks

if TYPE_CHECKING:
    from strongroom.cli.home import Home
    from strongroom.ledger.entries import Signal
    from strongroom.ledger.note import VerifierKey


@click.command("console")
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8090]"
)
@shared_options
@click.pass_obj
def command(call: Call, host: str | None, port: int | None) -> None:
    """Serve the operators' pages.

    They show models, organisations and their budgets, refusals, signals, egress and the record, and
    switch off. Log in with a key that `strongroom operator create` made. Stops with Ctrl-C.
    Defaults come from strongroom.toml.
    """
    _require_extra()
    from strongroom.cli import identities
    from strongroom.console.app import Parts
    from strongroom.console.operators import Operators
    from strongroom.console.server import serve
    from strongroom.console.sources import HomeReader
    from strongroom.console.switching import StoreSwitchboard
    from strongroom.gateway.config import read_pepper
    from strongroom.telemetry import logs

    os.umask(0o077)
    with identities.opened(call) as office:
        home, store = office.home, office.store
        chosen = home.settings.console
        logs.configure(home.settings.watching.log_level)
        reader = HomeReader(store, home.state, _verifier(home), _gateways(home), explained)
        reader.recheck_for_ever()
        parts = Parts(
            Operators(home.operators, read_pepper(home.keys / "pepper")),
            reader,
            StoreSwitchboard(store, office.record),
            chosen.names,
        )
        at = chosen.host if host is None else host
        serve(parts, at, chosen.port if port is None else port, lambda url: _tell(call, url))


def explained(signal: Signal) -> str:
    """A recorded signal in one sentence, as detection would say it."""
    from strongroom.gateway.detection.explanations import explain
    from strongroom.gateway.detection.interface import KINDS

    for kind in KINDS:
        if kind == signal.detector:
            subjects = signal.counts.get("subjects", 1)
            count = signal.counts.get("seen", 1)
            return explain(kind, signal.score / 1000, signal.threshold / 1000, subjects, count)
    return f"Its score is {signal.score / 1000:g}, where {signal.threshold / 1000:g} is the limit."


def _gateways(home: Home) -> tuple[str, ...]:
    """Where the gateways' operator listeners are: those named, else this home's own."""
    own = home.settings.watching
    shown = f"[{own.host}]" if ":" in own.host else own.host
    return home.settings.console.gateways or (f"{shown}:{own.port}",)


def _verifier(home: Home) -> VerifierKey:
    from strongroom.ledger.log_key import LogKey

    return LogKey.load(home.log_key).public


def _tell(call: Call, url: str) -> None:
    if call.json:
        output.print_json({"ready": True, "url": url})
        return
    click.echo(
        f"The console is at {url}\n\nCtrl-C stops it. A key: strongroom operator create NAME"
    )


def _require_extra() -> None:
    missing = [name for name in ("jinja2", "uvicorn", "httptools") if find_spec(name) is None]
    if missing:
        raise EnvironmentLacks(
            "cli.missing_extra",
            f"The console needs packages that are not installed: {', '.join(missing)}.",
            action="Install strongroom with the extra: pip install 'strongroom[console]'.",
        )
