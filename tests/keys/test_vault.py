"""Vault transit against an HTTP stand-in that does the real cryptography of the real server.

With ``STRONGROOM_TEST_VAULT`` (address), ``STRONGROOM_TEST_VAULT_TOKEN`` and two keys named
``strongroom-test-a`` and ``-b`` in a ``transit`` mount, the contract also runs against a server.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wrapper_contract import CONTEXT, check_contract, code_of

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.errors import EnvironmentLacks

pytest.importorskip("hvac")

from strongroom.keys.vault import VaultTransit

GOOD_TOKEN = "s.good"


class FakeTransit(ThreadingHTTPServer):
    """The two transit calls, for keys ``a`` and ``b``. ``behaviour`` may spoil the answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = {name: AESGCM(os.urandom(32)) for name in "ab"}
        self.seen: list[dict[str, Any]] = []
        self.ignore_associated_data = False
        self.behaviour = "honest"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_call(self, path: str, token: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        self.seen.append(body)
        if token != GOOD_TOKEN:
            return 403, {"errors": ["permission denied"]}
        _, mount, operation, name = path.removeprefix("/v1").split("/")
        if mount != "transit" or name not in self.keys:
            return 404, {"errors": []}
        if self.behaviour == "sealed":
            return 503, {"errors": ["Vault is sealed"]}
        if self.behaviour == "empty":
            return 200, {"data": {}}
        bound = b"" if self.ignore_associated_data else base64.b64decode(body["associated_data"])
        if operation == "encrypt":
            nonce = os.urandom(12)
            plain = base64.b64decode(body["plaintext"])
            sealed = nonce + self.keys[name].encrypt(nonce, plain, bound)
            return 200, {"data": {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode()}}
        try:
            sealed = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"), validate=True)
            plain = self.keys[name].decrypt(sealed[:12], sealed[12:], bound)
        except (InvalidTag, ValueError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        if self.behaviour == "short":
            plain = plain[:16]
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


class _Handler(BaseHTTPRequestHandler):
    server: FakeTransit

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.handle_call(self.path, self.headers.get("X-Vault-Token"), body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_POST

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[FakeTransit]:
    server = FakeTransit()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def transit(server: FakeTransit, key: str = "a", **changes: Any) -> VaultTransit:
    return VaultTransit(server.url, key, **{"token": GOOD_TOKEN, **changes})


def test_contract(server: FakeTransit) -> None:
    check_contract(transit(server), transit(server, "b"))


@pytest.mark.skipif("STRONGROOM_TEST_VAULT" not in os.environ, reason="names no real Vault")
def test_contract_with_a_real_server() -> None:
    address, token = (os.environ[f"STRONGROOM_TEST_VAULT{end}"] for end in ("", "_TOKEN"))
    check_contract(
        VaultTransit(address, "strongroom-test-a", token=token),
        VaultTransit(address, "strongroom-test-b", token=token),
    )


def test_the_server_never_sees_the_data_key(server: FakeTransit) -> None:
    key = DataKey.generate()
    vault = transit(server)
    vault.unwrap(vault.wrap(key, CONTEXT), CONTEXT)
    sent = json.dumps(server.seen)
    assert "plaintext" in sent
    assert base64.b64encode(bytes(key.reveal(TOKEN))).decode() not in sent


def test_bound_even_if_the_server_ignores_associated_data(server: FakeTransit) -> None:
    server.ignore_associated_data = True
    check_contract(transit(server), transit(server, "b"))


def test_the_kek_of_another_stanza(server: FakeTransit) -> None:
    vault = transit(server)
    ours, other = (vault.wrap(DataKey.generate(), CONTEXT) for _ in range(2))
    for kek in (other.params["kek"], "vault:v1:AAAA", "nonsense", ""):
        mixed = msgspec.structs.replace(ours, params={**ours.params, "kek": kek})
        assert code_of(lambda m=mixed: vault.unwrap(m, CONTEXT)) in (
            "keys.altered",
            "keys.server_refused",
        )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": "s.bad"}, "keys.denied"),
        ({"key": "absent"}, "keys.no_such_key"),
        ({"mount": "elsewhere"}, "keys.no_such_key"),
    ],
)
def test_the_server_says_no(server: FakeTransit, changes: dict[str, str], code: str) -> None:
    vault = transit(server, **changes)
    assert code_of(lambda: vault.wrap(DataKey.generate(), CONTEXT)) == code


def test_the_server_is_not_there_or_ill(server: FakeTransit) -> None:
    stanza = transit(server).wrap(DataKey.generate(), CONTEXT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = VaultTransit(f"http://127.0.0.1:{free.getsockname()[1]}", "a", token="s.secret")
    assert code_of(lambda: nowhere.unwrap(stanza, CONTEXT)) == "keys.unreachable"
    assert "s.secret" not in repr(nowhere)
    for behaviour, code in (
        ("sealed", "keys.unreachable"),
        ("empty", "keys.server_refused"),
        ("short", "keys.altered"),
    ):
        server.behaviour = behaviour
        assert code_of(lambda: transit(server).unwrap(stanza, CONTEXT)) == code


def test_without_hvac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hvac", None)
    with pytest.raises(EnvironmentLacks) as lacking:
        VaultTransit("http://127.0.0.1:1", "a", token="x")
    assert lacking.value.code == "keys.missing_extra"
    assert "strongroom[vault]" in lacking.value.action
