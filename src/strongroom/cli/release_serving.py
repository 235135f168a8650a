"""``strongroom release serve``: from a home and options to a key-release service that stands alone.

1. Give up what a process with keys does not need, before any key is read.
2. Read everything that the service will judge by; refuse now what could never be used.
3. Open the service's own log and keep it: each decision is durable there before a key leaves.
4. Serve to the end.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from strongroom.attest import bundle
from strongroom.cli import decisions, output, passphrase, release_policies
from strongroom.cli.bounded import content
from strongroom.cli.children import pipe_with
from strongroom.cli.home import Home, open_home
from strongroom.errors import ConfigurationRefused
from strongroom.gateway.config import Tls
from strongroom.gateway.http_protocol import bounded_protocol
from strongroom.gateway.tls import tls_context
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.release.config import Grants, KeyringUnlocker, Lineage, Unlocker
from strongroom.release.ear.token_key import TokenKey
from strongroom.release.hardening import harden
from strongroom.release.kbs.resources import Resource
from strongroom.release.standing import Judging, Listening, Web, stand

if TYPE_CHECKING:
    from strongroom.cli.call import Call
    from strongroom.release.policies.document import Document
    from strongroom.release.record import Decision

LOG = "release-service"
_INTERRUPTED = 130
_MAX_HEAD_BYTES = 16 * 1024
_HEAD_SECONDS = 10.0
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Chosen:
    """What the command line says."""

    policy: str | None
    listen: str
    socket: Path | None
    tls_cert: str | None
    tls_key: str | None
    resources: tuple[tuple[str, Path], ...]
    collateral: tuple[Path, ...]
    passphrase_file: Path | None


def run(call: Call, chosen: Chosen) -> int:
    """Steps 1 to 4; returns the exit code."""
    harden()  # (1)
    os.umask(0o077)
    home = open_home(call.home_path)
    policy = _policy(home, chosen.policy)  # (2)
    web = _web(chosen)
    with ExitStack() as stack:
        judging = Judging(
            service_key=home.keys / "service.key",
            token_key=_token_key(home),
            unlockers=_unlockers(home, chosen.passphrase_file, stack),
            policy=policy,
            grants=Grants(home.grants, str(home.approvers_file)),
            lineage=Lineage(home.lineage),
            resources={path: _resource(home, sealed) for path, sealed in chosen.resources},
            collateral=tuple(bundle.decode(content(file)) for file in chosen.collateral),
        )
        path = (chosen.socket or home.path / "run" / "release.sock").absolute()

        def ready(told: Listening) -> None:
            _tell(call, judging, path, told)

        number = stand(judging, web, path, _recording(home), ready)  # (4)
    if not call.json:
        output.note("Stopped.")
    return _INTERRUPTED if number == signal.SIGINT else 0


def _policy(home: Home, file: str | None) -> Document:
    serving = home.settings.serving
    if file is not None:
        serving = msgspec.structs.replace(serving, release_policy=file)
    return release_policies.of(home, serving, None)


def _web(chosen: Chosen) -> Web:
    found = _ADDRESS.fullmatch(chosen.listen)
    if found is None or int(found["port"]) > 65535:
        raise ConfigurationRefused(
            "cli.bad_listen",
            f"{chosen.listen} is not an address and a port.",
            action="Write 127.0.0.1:8070 or [::1]:8070; port 0 takes a free one.",
        )
    if bool(chosen.tls_cert) != bool(chosen.tls_key):
        raise ConfigurationRefused(
            "cli.tls_incomplete",
            "TLS needs both a certificate and its key.",
            action="Give --tls-cert and --tls-key.",
        )
    tls: ssl.SSLContext | None = None
    if chosen.tls_cert and chosen.tls_key:
        tls = tls_context(Tls(chosen.tls_cert, chosen.tls_key))
    protocol = bounded_protocol(_MAX_HEAD_BYTES, _HEAD_SECONDS)
    return Web(found["six"] or found["host"], int(found["port"]), tls, protocol)


def _token_key(home: Home) -> Path:
    path = home.keys / "token.key"
    if not path.exists():
        TokenKey.create(path)
    return path


def _unlockers(home: Home, file: Path | None, stack: ExitStack) -> tuple[Unlocker, ...]:
    """The home's, with the passphrase down a pipe that is read once, as ``serve`` does it."""
    secret = passphrase.for_home(home, file)
    if secret is None:
        return home.unlockers()
    # Whoever reads the descriptor closes it, too: it gets one of its own.
    reading = os.dup(pipe_with(secret, stack))
    return tuple(
        msgspec.structs.replace(each, passphrase_fd=reading)
        if isinstance(each, KeyringUnlocker)
        else each
        for each in home.unlockers()
    )


def _resource(home: Home, sealed: Path) -> Resource:
    """The key of a sealed model: signed by who is trusted, and no older than what was seen."""
    from strongroom.artifact.manifest import read_manifest
    from strongroom.artifact.rewrap import read_recipients

    manifest = read_manifest(sealed, home.trust)
    home.releases.check(manifest)
    return Resource.of(manifest, read_recipients(sealed))


@contextmanager
def _recording(home: Home) -> Iterator[Callable[[Decision], None]]:
    """Step 3."""
    with open_log(home.state, LOG, LogKey.load(home.log_key)) as log:

        def record(decision: Decision) -> None:
            log.write(decisions.entry_of(msgspec.json.encode(decision)))

        yield record


def _tell(call: Call, judging: Judging, socket: Path, told: Listening) -> None:
    """Where it listens, what to pin, and what the owner should know."""
    software = release_policies.admits_software(judging.policy)
    resources = sorted(judging.resources)
    answer = {
        "ready": True,
        "url": told.url,
        "socket": str(socket),
        "service_key": base64.b64encode(told.service_key.public).decode(),
        "service_key_id": told.service_key.key_id,
        "token_key": told.token_key.jwk,
        "policy": judging.policy.name,
        "policy_digest": judging.policy.digest,
        "approvals": judging.policy.allow.approvals,
        "resources": resources,
        "software_only": software,
    }
    if call.json:
        output.print_json(answer)
        return
    output.print_facts(
        {
            "KBS wire": told.url,
            "native wire": socket,
            "service key": f"{answer['service_key']} (id {told.service_key.key_id})",
            "token key": f"P-256, thumbprint {told.token_key.key_id}",
            "policy": f"{judging.policy.name}, digest {judging.policy.digest}",
            "approvals": judging.policy.allow.approvals or "none needed",
            "resources": ", ".join(resources) or "none: guests get tokens, and no key",
        }
    )
    if software:
        output.note(
            "SOFTWARE-ONLY: this policy may admit evidence that no hardware vouches for: root on "
            "this machine can forge it."
        )
    click.echo("\nCtrl-C stops it.")
