"""``strongroom serve``: key release, keeper and gateway from one command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options

if TYPE_CHECKING:
    from strongroom.cli.children import Child, Wires
    from strongroom.cli.plan import Plan
    from strongroom.cli.settings import Serving

_INTERRUPTED = 130
_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command("serve")
@click.argument("sealed", type=click.Path(path_type=Path))
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8080]"
)
@click.option(
    "--profile",
    type=click.Choice(["no-exec", "jit"]),
    help="Whether the keeper may make executable memory once it serves.  [default: no-exec]",
)
@click.option("--max-streams", type=click.IntRange(1, 256), help="Answers at the same time.")
@click.option(
    "--context-length", type=click.IntRange(0, 131_072), help="Longest conversation, in tokens."
)
@click.option("--tls-cert", metavar="FILE", type=_FILE, help="Certificate chain: speak TLS.")
@click.option("--tls-key", metavar="FILE", type=_FILE, help="Its private key.")
@click.option(
    "--client-ca", metavar="FILE", type=_FILE, help="Let in only who has a certificate of these."
)
@click.option(
    "--release-policy",
    metavar="FILE",
    type=_FILE,
    help="Who may have the key.  [default: this installation]",
)
@click.option(
    "--key-release",
    metavar="SOCKET",
    help="A key-release service that runs already.  [default: one is started]",
)
@click.option("--service-key", metavar="KEY", help="Its public key, base64.")
@passphrase_option
@shared_options
@click.pass_obj
def command(
    call: Call,
    sealed: Path,
    host: str | None,
    port: int | None,
    profile: str | None,
    max_streams: int | None,
    context_length: int | None,
    tls_cert: str | None,
    tls_key: str | None,
    client_ca: str | None,
    release_policy: str | None,
    key_release: str | None,
    service_key: str | None,
    passphrase_file: Path | None,
) -> int:
    """Serve a sealed model through an OpenAI-compatible door.

    Starts three processes: key release (keys, no weights), the keeper (weights, no network) and the
    gateway (network, no weights, no keys); key release may be a service that runs already. Stops
    with Ctrl-C. With --json the first line printed
    says where it listens. Defaults come from strongroom.toml.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli import passphrase, preconditions, release_policies
    from strongroom.cli.home import open_home
    from strongroom.cli.plan import Plan

    preconditions.require_extra()
    home = open_home(call.home_path)
    chosen = {
        "host": host,
        "port": port,
        "profile": profile,
        "max_streams": max_streams,
        "context_length": context_length,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "client_ca": client_ca,
        "release_policy": release_policy,
        "key_release": key_release,
        "service_key": service_key,
    }
    serving = _with(home.settings.serving, chosen)
    manifest = read_manifest(sealed, home.trust)  # refuse now what could never be served
    home.releases.check(manifest)
    secret = None if serving.key_release else passphrase.for_home(home, passphrase_file)
    preconditions.warn(serving)
    os.umask(0o077)
    policy = release_policies.of(home, serving, manifest)
    plan = Plan(home, sealed.absolute(), manifest, serving, policy)
    return _run(call, plan, secret)


def start_children(plan: Plan, wires: Wires, secret: bytes | None) -> list[Child]:
    """Start them all; they wait for one another through their sockets."""
    from contextlib import ExitStack

    from strongroom.cli import child, children
    from strongroom.cli.starting import start_attester, start_release

    gateway = plan.gateway_config(wires)
    release = [] if plan.serving.key_release else [start_release(plan, wires, secret)]
    with ExitStack() as stack:
        attester = start_attester(plan, stack)
        told = None if attester is None else attester[1]
        keeper = children.start(
            "keeper",
            plan.keeper_config(wires, told),
            pass_fds=[
                wires.keeper_to_release.fileno(),
                wires.keeper_to_gateway.fileno(),
                *([] if told is None else [told.descriptor]),
            ],
            environment=child.environment(plan.threads),
        )
    door = children.start(
        "gateway",
        gateway,
        pass_fds=[wires.gateway.fileno(), wires.ready_write],
        environment=child.environment(1),
    )
    return [*release, *([] if attester is None else [attester[0]]), keeper, door]


def _run(call: Call, plan: Plan, secret: bytes | None) -> int:
    """Serve to the end; returns the exit code."""
    from strongroom.cli import reloads

    number = reloads.until_asked(lambda: _live(call, plan, secret))
    if not call.json:
        output.note("Stopped.")
    return _INTERRUPTED if number == signal.SIGINT else 0


def _live(call: Call, plan: Plan, secret: bytes | None) -> int:
    """Start, tell, watch, stop; returns the number of the signal that asked for the end."""
    from functools import partial

    from strongroom.cli import decisions
    from strongroom.cli.children import Wires
    from strongroom.cli.supervisor import Supervisor
    from strongroom.ledger.log_key import LogKey

    decided = partial(decisions.record, plan.home.state, LogKey.load(plan.home.log_key))
    wires = Wires.make()
    if plan.serving.key_release:
        wires = wires.to_service(plan.serving.key_release)
    children = start_children(plan, wires, secret)
    wires.close_childrens()
    with _stages(call, plan) as stage:
        supervisor = Supervisor(children, wires.ready_read, decided, stage)
        try:
            supervisor.catch_signals()
            said = supervisor.wait_ready()
        except BaseException:
            supervisor.stop()
            raise
    try:
        if said is not None:
            _tell(call, plan, said)
        return supervisor.watch()
    finally:
        supervisor.stop()


_MEANS = {
    "SOFTWARE-ONLY": "SOFTWARE-ONLY: root on this machine can read the weights",
    "HARDWARE": "HARDWARE: key release accepted this machine's evidence, and asks for more of it",
}


def _tell(call: Call, plan: Plan, said: dict[str, Any]) -> None:
    """Where it listens, and what the owner should know."""
    answer = {
        "ready": True,
        "url": said["url"],
        "operators": said["operators"],
        "model": plan.model_name,
        "release": plan.manifest.release,
        "digest": plan.manifest.digest,
        "assurance": plan.assurance,
        "rungs": said.get("rungs", {}),
        "walls": said.get("walls", {}),
        "egress": said.get("egress", ""),
    }
    if call.json:
        output.print_json(answer)
        return
    walls = answer["walls"]
    on = [name for name, state in walls.items() if state == "on"]
    off = [f"{name} ({state})" for name, state in walls.items() if state != "on"]
    output.print_facts(
        {
            "serving": f"{plan.model_name}, release {plan.manifest.release}",
            "address": f"{said['url']}/v1",
            "metrics": f"{said['operators']}/metrics",
            "callers get": ", ".join(f"{who}: {rung}" for who, rung in answer["rungs"].items()),
            "walls on": ", ".join(on) or "none",
            "walls off": "; ".join(off) or "none",
            "assurance": _MEANS[plan.assurance],
            "egress": answer["egress"],
        }
    )
    click.echo("\nCtrl-C stops it. A key for a caller: strongroom key create --org NAME")


@contextmanager
def _stages(call: Call, plan: Plan) -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal, plain lines elsewhere, nothing for scripts."""
    own = "" if plan.serving.key_release else "key release, "
    first = f"Starting {own}keeper and gateway"
    if call.json:
        yield lambda _sentence: None
    elif not sys.stderr.isatty():
        output.note(first)
        yield output.note
    else:
        from rich.console import Console

        with Console(stderr=True).status(first) as status:
            yield status.update


def _with(serving: Serving, chosen: Mapping[str, object]) -> Serving:
    import msgspec

    given = {name: value for name, value in chosen.items() if value is not None}
    return msgspec.structs.replace(serving, **given)
