"""``strongroom release serve`` as a process: both wires, their refusals, and its start and end."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from strongroom import framing
from strongroom.artifact.manifest import Manifest, read_manifest, recipient_context
from strongroom.artifact.rewrap import read_recipients
from strongroom.artifact.secret_access import TOKEN
from strongroom.attest.bundle import Bundle, encode
from strongroom.cli.home import open_home
from strongroom.cli.unlocking import data_key
from strongroom.errors import KeyRefused
from strongroom.release.client import obtain_key
from strongroom.release.evidence import LocalAttester, running_measurement
from strongroom.release.messages import MAX_MESSAGE_BYTES
from strongroom.release.requester import Grant
from strongroom.release.service_key import ServiceKey
from tests.attest.simulated import amd
from tests.cli.conftest import Made, Runs
from tests.cli.test_grant import Grants
from tests.cli.test_serve import served
from tests.gateway.identities import Authority
from tests.release.kbs.guest import Guest

ROOT = Path(__file__).resolve().parents[2]
PATH = "models/tiny/key"


def policy(path: Path, *, approvals: int = 0) -> Path:
    """Admits the simulated image and this very installation."""
    measured = amd.Fields("Genoa").measurement.hex()
    path.write_text(
        f'template = "dev"\n[allow]\napprovals = {approvals}\n'
        f'[[image]]\nname = "guest"\nkind = "snp"\n'
        f'measurements = {{ measurement = "{measured}" }}\n'
        f'[[image]]\nname = "here"\nkind = "local"\n'
        f'measurements = {{ code = "{running_measurement()}" }}\n'
    )
    return path


@dataclass
class Service:
    """A running service, what it said first, and what it takes to ask it."""

    process: subprocess.Popen[str]
    said: dict[str, Any]
    made: Made
    trusted: Path | None = None

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.made.sealed, open_home(self.made.home).trust)

    def http(self, method: str, path: str, body: Any = b"", cookie: str = "") -> tuple[int, Any]:
        """Status and JSON; for ``auth`` the cookie stands under ``cookie``."""
        host = self.said["url"].rpartition("/")[2]
        if self.trusted is None:
            line: http.client.HTTPConnection = http.client.HTTPConnection(host, timeout=60)
        else:
            trust = ssl.create_default_context(cafile=str(self.trusted))
            line = http.client.HTTPSConnection(host, timeout=60, context=trust)
        with_cookie = {"Cookie": cookie} if cookie else {}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        line.request(method, path, raw, with_cookie)
        answer = line.getresponse()
        told = json.loads(answer.read() or b"null")
        if cookie_set := answer.headers["Set-Cookie"]:
            told["cookie"] = cookie_set.partition(";")[0]
        line.close()
        return answer.status, told

    def auth(self, guest: Guest) -> tuple[str, str]:
        status, told = self.http("POST", "/kbs/v0/auth", guest.request())
        assert status == 200, told
        return told["cookie"], told["nonce"]

    def attest(self, cookie: str, body: Any) -> tuple[int, Any]:
        return self.http("POST", "/kbs/v0/attest", body, cookie)

    def attested(self, guest: Guest) -> str:
        cookie, nonce = self.auth(guest)
        status, told = self.attest(cookie, guest.attestation(nonce))
        assert status == 200, told
        return cookie

    def fetch(self, cookie: str) -> tuple[int, Any]:
        return self.http("GET", f"/kbs/v0/resource/{PATH}", cookie=cookie)

    @contextmanager
    def line(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(60)
            line.connect(self.said["socket"])
            yield line

    def obtain(self, line: socket.socket) -> Grant:
        manifest = self.manifest
        return obtain_key(
            line,
            recipients=read_recipients(self.made.sealed),
            context=recipient_context(manifest),
            model=manifest.model_id,
            release=manifest.release,
            manifest_digest=manifest.digest,
            evidence=LocalAttester("cd" * 32),
            service_key=ServiceKey.load(self.made.home / "keys" / "service.key").public,
        )

    def key(self) -> bytes:
        home = open_home(self.made.home)
        with data_key(home, self.made.sealed, self.manifest, None) as key:
            return bytes(key.reveal(TOKEN))

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def words(made: Made, *more: str | Path) -> list[str]:
    """The command that serves ``made`` on free ports."""
    given = ("--listen", "127.0.0.1:0", *more)
    start = [
        sys.executable,
        "-m",
        "tests.cli.simulated_service",
        "--home",
        str(made.home),
        "--json",
    ]
    return [*start, "release", "serve", *map(str, given)]


def start(made: Made, *more: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words(made, *more),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(
    made: Made, rules: Path, *more: str | Path, trusted: Path | None = None
) -> Iterator[Service]:
    """A service with the made model's key as a resource."""
    case = amd.good("Genoa")
    gathered = rules.with_name("genoa.bundle")
    gathered.write_bytes(
        encode(Bundle(kind="snp", evidence={}, certificates=case.certificates, crls=case.crls))
    )
    resource = f"{PATH}={made.sealed}"
    process = start(
        made, "--policy", rules, "--resource", resource, "--collateral", gathered, *more
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.communicate(timeout=60)[1]
        yield Service(process, json.loads(first), made, trusted)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    status, told = answer
    return status, str(told["type"]).rpartition("/")[2]


def renewed(line: socket.socket, grant: Grant) -> str:
    """The code with which the renewal of a lease is refused; empty if it is granted."""
    frames = framing.FrameBuffer(MAX_MESSAGE_BYTES)

    def exchange(message: bytes) -> bytes:
        line.sendall(framing.encode(message, MAX_MESSAGE_BYTES))
        while not (answers := frames.feed(line.recv(65_536))):
            pass
        return answers[0]

    challenge = exchange(grant.renewer.ask())
    answered = grant.renewer.take(exchange(grant.renewer.take(challenge).send))
    return "" if answered.refusal is None else answered.refusal.code


def refused(service: Service) -> str:
    """The code with which the native wire refuses the key."""
    with service.line() as line, pytest.raises(KeyRefused) as refusal:
        service.obtain(line)
    return refusal.value.code


def recorded(strongroom: Runs, made: Made) -> list[dict[str, Any]]:
    said = strongroom("log", "tail", "--log", "release-service", "--home", made.home, "--json")
    return [json.loads(line)["entry"] for line in said.out.splitlines()]


def test_two_wires_and_one_judgement(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    rules = policy(tmp_path / "policy.toml")
    with serving(made, rules) as service:
        assert service.said["software_only"] is True
        assert service.http("GET", "/healthz") == (200, {"status": "ok"})
        place = Path(service.said["socket"]).lstat()
        assert stat.S_ISSOCK(place.st_mode)
        assert stat.S_IMODE(place.st_mode) == 0o600
        status, told = service.http("GET", "/kbs/v0/resource/a/b/c", cookie="x" * 20_000)
        assert (status, told) == (431, None)
        # One key, over either wire.
        guest = Guest()
        cookie = service.attested(guest)
        status, sealed = service.fetch(cookie)
        assert (status, guest.open(sealed)) == (200, service.key())
        with service.line() as line:
            grant = service.obtain(line)
            assert bytes(grant.key.reveal(TOKEN)) == service.key()
            assert grant.assurance == "SOFTWARE-ONLY"
            assert renewed(line, grant) == ""
            # Another image gets none.
            other = service.attested(Guest(report={"measurement": bytes(48)}))
            assert code(service.fetch(other)) == (403, "release.denied")
            # A second service for this socket is refused, and this one goes on.
            second = start(made, "--policy", rules)
            _, err = second.communicate(timeout=60)
            assert second.returncode == 5
            assert json.loads(err)["error"] == "release.socket_in_use"
            # Revoked: at the next request, on connections and sessions that are open, too.
            model = service.manifest.model_id
            words = ("--home", made.home, "release", "revoke", model, "--reason", "leaked")
            assert strongroom(*words).code == 0
            assert code(service.fetch(cookie)) == (403, "release.revoked")
            assert renewed(line, grant) == "release.revoked"
            with pytest.raises(KeyRefused) as refusal:
                service.obtain(line)
            assert refusal.value.code == "release.revoked"
            assert service.end() == (0, "")
    assert not Path(service.said["socket"]).exists()
    entries = recorded(strongroom, made)
    told = [(each["type"], each.get("reason", ""), each["evidence_kind"]) for each in entries]
    assert told == [
        ("KeyReleased", "", "snp"),
        ("KeyReleased", "", "local"),
        ("LeaseRenewed", "", "local"),
        ("KeyRefused", "release.denied", "snp"),
        ("KeyRefused", "release.revoked", "snp"),
        ("LeaseRefused", "release.revoked", "local"),
        ("KeyRefused", "release.revoked", "local"),
    ]
    assert "lease_until" in entries[0]
    assert entries[0]["lease_until"] == 0 < entries[1]["lease_until"]
    secret = service.key()
    stored = b"".join(each.read_bytes() for each in (made.home / "state").rglob("*")
                      if each.is_file())  # fmt: skip
    assert secret not in stored
    assert secret.hex().encode() not in stored
    assert strongroom("log", "verify", "--home", made.home).code == 0


def test_a_model_is_served_with_the_key_of_a_service_that_runs_already(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    with serving(made, policy(tmp_path / "policy.toml")) as service:
        pinned = str(service.said["service_key"])
        asked = ("--key-release", str(service.said["socket"]), "--service-key")
        keyring = made.home / "keys" / "keyring.json"
        keys = keyring.read_bytes()
        keyring.write_bytes(b"this machine has none of the owner's keys")
        with served(made, *asked, pinned) as server:
            assert server.ready()["assurance"] == "SOFTWARE-ONLY"
            assert set(server.children()) == {"keeper", "gateway"}
        keyring.write_bytes(keys)
        another = base64.b64encode(bytes(32)).decode()
        for wrong, code in ((another, "release.bad_signature"), ("", "cli.service_key_missing")):
            with served(made, *asked, wrong) as server:
                assert server.error()["error"] == code
        service.end()
        with served(made, *asked, pinned) as server:
            assert server.error()["error"] == "cli.key_release_unreachable"
    outcomes = [each["type"] for each in recorded(strongroom, made)]
    assert outcomes.count("KeyReleased") == 1


def test_what_was_asked_before_a_restart(made: Made, tmp_path: Path) -> None:
    rules = policy(tmp_path / "policy.toml")
    guest = Guest()
    with serving(made, rules) as service:
        cookie, nonce = service.auth(guest)
        body = guest.attestation(nonce)
        service.process.kill()  # not in order: the socket is left behind
        service.process.communicate(timeout=60)
        assert Path(service.said["socket"]).exists()
    with serving(made, rules) as service:
        assert code(service.attest(cookie, body)) == (401, "release.kbs_session")
        fresh, _ = service.auth(guest)
        assert code(service.attest(fresh, body)) == (401, "release.nonce_unknown")
        assert service.fetch(service.attested(guest))[0] == 200
        with service.line() as line:
            service.obtain(line)


def test_two_people_approve_or_nobody_gets_it(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    """Over TLS, by a guest that knows the certificate."""
    authority = Authority()
    files = [tmp_path / name for name in ("server.pem", "server.key", "authority.pem")]
    where = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    for file, pem in zip(files, (*authority.issue("server", where), authority.pem()), strict=True):
        file.write_bytes(pem)
    cert, key, trusted = files
    rules = policy(tmp_path / "policy.toml", approvals=2)
    keys = tmp_path / "approvers"
    keys.mkdir()
    grants = Grants(strongroom, made, rules, keys)
    request = grants.request()
    grants.vote("approve", request, "ada")
    more = ("--tls-cert", cert, "--tls-key", key)
    with serving(made, rules, *more, trusted=trusted) as service:
        assert service.said["url"].startswith("https://")
        cookie = service.attested(Guest())
        assert code(service.fetch(cookie)) == (403, "release.approvals_missing")
        assert refused(service) == "release.approvals_missing"
        grants.vote("approve", request, "bob")
        assert service.fetch(cookie)[0] == 200
        with service.line() as line:
            service.obtain(line)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (("--listen", "0.0.0.0:0"), "release.plain_http"),
        (("--listen", "127.0.0.1"), "cli.bad_listen"),
        (("--resource", "models/tiny/key="), "cli.usage"),
        (("--resource", "models/tiny={sealed}"), "release.kbs_path"),
        (("--tls-cert", "{sealed}/manifest.json"), "cli.tls_incomplete"),
    ],
)
def test_what_starts_nothing(made: Made, more: tuple[str, ...], wanted: str) -> None:
    process = start(made, *(word.format(sealed=made.sealed) for word in more))
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert process.returncode != 0
    assert json.loads(err.splitlines()[-1])["error"] == wanted
    with suppress(FileNotFoundError):
        assert os.listdir(made.home / "run") in ([], ["release.sock.lock"])
