"""``strongroom serve``: key release, keeper and gateway from one command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.artifact.manifest import Manifest
    from strongroom.cli.children import Child, Wires
    from strongroom.cli.home import Home
    from strongroom.cli.settings import Serving
    from strongroom.gateway.config import GatewayConfig, Tls
    from strongroom.gateway.content.config import ContentConfig
    from strongroom.gateway.jwt_identity import JwtTrust
    from strongroom.gateway.watching import Watching
    from strongroom.keeper.config import KeeperConfig, SchemaFile
    from strongroom.release.config import ReleaseConfig

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
    passphrase_file: Path | None,
) -> int:
    """Serve a sealed model through an OpenAI-compatible door.

    Starts three processes: key release (keys, no weights), the keeper (weights, no network) and the
    gateway (network, no weights, no keys). Stops with Ctrl-C. With --json the first line printed
    says where it listens. Defaults come from strongroom.toml.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli import passphrase, preconditions
    from strongroom.cli.home import open_home

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
    }
    serving = _with(home.settings.serving, chosen)
    manifest = read_manifest(sealed, home.trust)  # refuse now what could never be served
    home.releases.check(manifest)
    secret = passphrase.for_home(home, passphrase_file)
    preconditions.warn(serving)
    os.umask(0o077)
    plan = Plan(home, sealed.absolute(), manifest, serving)
    return _run(call, plan, secret)


@dataclass(frozen=True)
class Plan:
    """What is to be served, and how."""

    home: Home
    sealed: Path
    manifest: Manifest
    serving: Serving

    @property
    def threads(self) -> int:
        """Threads of the keeper."""
        return self.serving.threads or len(os.sched_getaffinity(0))

    @property
    def model_name(self) -> str:
        """What callers call the model: its id, as one path segment."""
        return self.manifest.model_id.replace("/", "-")

    @property
    def watching(self) -> Watching:
        """Where operators look; a free port where the callers' is a free one, too."""
        import msgspec

        watching = self.home.settings.watching
        return watching if self.serving.port else msgspec.structs.replace(watching, port=0)

    @cached_property
    def schemas(self) -> tuple[dict[str, str], tuple[SchemaFile, ...]]:
        """Names and digests of the registered schemas, and the files of their automata."""
        from strongroom.cli.schemas import Schemas

        return Schemas(self.home.schemas).lay_out(self.home.path / "run")

    def release_config(self, wires: Wires, passphrase_fd: int | None) -> ReleaseConfig:
        """For key release: only this very manifest's key may leave."""
        import msgspec

        from strongroom.release.config import KeyringUnlocker, ReleaseConfig
        from strongroom.release.policies.embedded import embedded

        unlockers = tuple(
            msgspec.structs.replace(unlocker, passphrase_fd=passphrase_fd)
            if isinstance(unlocker, KeyringUnlocker)
            else unlocker
            for unlocker in self.home.unlockers()
        )
        return ReleaseConfig(
            service_key=str(self.home.keys / "service.key"),
            unlockers=unlockers,
            release_fd=wires.release.fileno(),
            policy=embedded(self.manifest.digest),
            lease_seconds=self.serving.lease_hours * 3600,
        )

    def keeper_config(self, wires: Wires) -> KeeperConfig:
        """For the keeper: whom to trust, what may leave, how to lock itself in."""
        import base64

        from strongroom.keeper.config import KeeperConfig
        from strongroom.release.service_key import ServiceKey

        service = ServiceKey.load(self.home.keys / "service.key")
        return KeeperConfig(
            sealed=str(self.sealed),
            signers=tuple(signer.encode() for signer in self.home.signers),
            service_key=base64.b64encode(service.public).decode(),
            release_state=str(self.home.state / "releases.json"),
            egress_state=str(self.home.state / "egress.state"),
            release_fd=wires.keeper_to_release.fileno(),
            boundary_fd=wires.keeper_to_gateway.fileno(),
            deployment_budget=self.home.settings.egress.deployment,
            tenant_budget=self.home.settings.egress.tenant,
            score_caps=self.home.settings.egress.scores,
            profile=self.serving.profile,
            required_walls=self.serving.required_walls,
            threads=self.threads,
            max_streams=self.serving.max_streams,
            context_length=self.serving.context_length,
            schemas=self.schemas[1],
            generation_seconds=self.serving.generation_seconds,
        )

    def gateway_config(self, wires: Wires) -> GatewayConfig:
        """For the gateway: where it listens, whom it knows, where it records."""
        from strongroom.gateway.config import GatewayConfig

        settings = self.home.settings
        return GatewayConfig(
            host=self.serving.host,
            port=self.serving.port,
            boundary_fd=wires.gateway.fileno(),
            ready_fd=wires.ready_write,
            database=settings.stores.identity or str(self.home.database),
            counters=settings.stores.counters,
            lease_requests=settings.stores.lease_requests,
            pepper=str(self.home.keys / "pepper"),
            log_key=str(self.home.log_key),
            state=str(self.home.state),
            model_name=self.model_name,
            replica=self.serving.replica,
            compute=settings.compute,
            tls=self._tls(),
            tokens=self._tokens(),
            certificates=settings.certificate,
            text=settings.text,
            schemas=self.schemas[0],
            pacing=settings.pacing,
            detection=settings.detection,
            content=self._content(),
            watching=self.watching,
        )

    def _content(self) -> ContentConfig:
        from msgspec.structs import replace

        content = self.home.settings.content
        moderation = content.moderation
        if moderation is None or not moderation.token_file:
            return content
        file = str(self.home.path / moderation.token_file)
        return replace(content, moderation=replace(moderation, token_file=file))

    def _tokens(self) -> JwtTrust | None:
        from msgspec.structs import replace

        trust = self.home.settings.tokens
        return trust and replace(trust, jwks=str(self.home.path / trust.jwks))

    def _tls(self) -> Tls | None:
        from strongroom.gateway.config import Tls

        serving = self.serving
        if not (serving.tls_cert or serving.tls_key or serving.client_ca):
            return None
        if not (serving.tls_cert and serving.tls_key):
            raise ConfigurationRefused(
                "cli.tls_incomplete",
                "TLS needs both a certificate and its key.",
                action="Give --tls-cert and --tls-key, or set tls_cert and tls_key.",
            )
        ca = str(self.home.path / serving.client_ca) if serving.client_ca else None
        cert, key = (str(self.home.path / name) for name in (serving.tls_cert, serving.tls_key))
        return Tls(cert, key, ca)


def start_children(plan: Plan, wires: Wires, secret: bytes | None) -> list[Child]:
    """Start all three; they wait for one another through their sockets."""
    from strongroom.cli import child, children
    from strongroom.release.config import AwsKmsUnlocker

    gateway = plan.gateway_config(wires)
    asks_aws = any(isinstance(each, AwsKmsUnlocker) for each in plan.home.unlockers())
    with ExitStack() as stack:
        secret_fd = None if secret is None else children.pipe_with(secret, stack)
        release = children.start(
            "release",
            plan.release_config(wires, secret_fd),
            pass_fds=[wires.release.fileno(), *([secret_fd] if secret_fd is not None else [])],
            environment=child.environment(1, keep=("AWS_",) if asks_aws else ()),
            capture_output=True,
        )
    keeper = children.start(
        "keeper",
        plan.keeper_config(wires),
        pass_fds=[wires.keeper_to_release.fileno(), wires.keeper_to_gateway.fileno()],
        environment=child.environment(plan.threads),
    )
    door = children.start(
        "gateway",
        gateway,
        pass_fds=[wires.gateway.fileno(), wires.ready_write],
        environment=child.environment(1),
    )
    return [release, keeper, door]


def _run(call: Call, plan: Plan, secret: bytes | None) -> int:
    """Start, tell, watch, stop; returns the exit code."""
    from functools import partial

    from strongroom.cli import decisions
    from strongroom.cli.children import Wires
    from strongroom.cli.supervisor import Supervisor
    from strongroom.ledger.log_key import LogKey

    decided = partial(decisions.record, plan.home.state, LogKey.load(plan.home.log_key))
    wires = Wires.make()
    children = start_children(plan, wires, secret)
    wires.close_childrens()
    with _stages(call) as stage:
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
        number = supervisor.watch()
    finally:
        supervisor.stop()
    if not call.json:
        output.note("Stopped.")
    return _INTERRUPTED if number == signal.SIGINT else 0


def _tell(call: Call, plan: Plan, said: dict[str, Any]) -> None:
    """Where it listens, and what the owner should know."""
    answer = {
        "ready": True,
        "url": said["url"],
        "operators": said["operators"],
        "model": plan.model_name,
        "release": plan.manifest.release,
        "digest": plan.manifest.digest,
        "assurance": "SOFTWARE-ONLY",
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
            "assurance": "SOFTWARE-ONLY: root on this machine can read the weights",
            "egress": answer["egress"],
        }
    )
    click.echo("\nCtrl-C stops it. A key for a caller: strongroom key create --org NAME")


@contextmanager
def _stages(call: Call) -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal, plain lines elsewhere, nothing for scripts."""
    first = "Starting key release, keeper and gateway"
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
