"""Tokens, certificates, scopes, limits and shared stores through a real gateway over HTTP."""

from __future__ import annotations

import json
import shutil
import ssl
import time
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from openai import RateLimitError

from strongroom.gateway.client_certificates import ClientCertificate
from strongroom.gateway.config import Tls
from strongroom.gateway.jwt_identity import JwtTrust
from strongroom.store.limits import Amounts, Limits
from tests.store.counters.conftest import Server, server

from .conftest import Door, OpenDoor
from .identities import AUDIENCE, ED, ISSUER, OTHER_ED, Authority, claims, jwk, write_jwks

__all__ = ["server"]
AUTHORITY = Authority()


def ask(
    door: Door, path: str, bearer: str | None = None, tls: ssl.SSLContext | None = None
) -> tuple[int, str]:
    host = f"localhost:{door.port}"
    if tls is None:
        connection = HTTPConnection(host, timeout=10)
    else:
        connection = HTTPSConnection(host, timeout=10, context=tls)
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    body = None
    if path.startswith("/v1/chat"):
        headers["Content-Type"] = "application/json"
        message = {"role": "user", "content": "hello"}
        body = json.dumps({"model": "smol", "messages": [message], "max_tokens": 4})
    connection.request("GET" if body is None else "POST", path, body, headers)
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    return response.status, found.get("error", {}).get("code", "")


CHAT, MODELS = "/v1/chat/completions", "/v1/models"
LIMITED = (429, "gateway.limit_reached")


def test_scopes_at_the_door(door: Door) -> None:
    key = door.new_key("acme", scopes=frozenset({"models"}))
    assert ask(door, MODELS, key) == (200, "")
    assert ask(door, CHAT, key) == (403, "gateway.scope_missing")
    key = door.new_key("acme", scopes=frozenset({"chat"}))
    assert ask(door, CHAT, key) == (200, "")
    assert ask(door, MODELS, key) == (403, "gateway.scope_missing")


def test_tokens_at_the_door(open_door: OpenDoor, tmp_path: Path) -> None:
    jwks = write_jwks(tmp_path / "jwks.json", jwk(ED, "ed"))
    limits = Limits(total=Amounts(requests=1))
    door = open_door(tokens=JwtTrust(ISSUER, AUDIENCE, str(jwks), limits=limits))

    def token(key: Any = ED, **changes: Any) -> str:
        return jwt.encode(claims(**changes), key, algorithm="EdDSA", headers={"kid": "ed"})

    assert ask(door, CHAT, token()) == (200, "")
    assert ask(door, CHAT, token()) == (429, "gateway.limit_too_small")
    assert ask(door, CHAT, token(sub="bob")) == (200, "")
    assert ask(door, CHAT, token(sub="bob", scope="models")) == (403, "gateway.scope_missing")
    assert ask(door, CHAT, token(OTHER_ED)) == (401, "gateway.invalid_api_key")
    assert ask(door, CHAT, token(organisation="nobody")) == (401, "gateway.invalid_api_key")
    assert ask(door, CHAT, door.key) == (200, "")


def test_certificates_at_the_door(open_door: OpenDoor, tmp_path: Path) -> None:
    def written(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    def client(name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        pem, key = AUTHORITY.issue("client", x509.DNSName(name))
        context.load_cert_chain(written("client.pem", pem), written("client.key", key))
        return context

    pem, key = AUTHORITY.issue("server", x509.DNSName("localhost"))
    tls = Tls(
        written("server.pem", pem), written("server.key", key), written("ca.pem", AUTHORITY.pem())
    )
    listed = (
        ClientCertificate("acme", name="dns:app.acme.example"),
        ClientCertificate("other", name="dns:app.other.example"),
    )
    door = open_door(tls=tls, certificates=listed)
    ours, others = client("app.acme.example"), client("app.other.example")
    assert ask(door, CHAT, None, ours) == (200, "")
    assert ask(door, CHAT, door.key, ours) == (200, "")
    refused = (401, "gateway.invalid_api_key")
    assert ask(door, CHAT, None, client("unlisted.example")) == refused
    assert ask(door, CHAT, door.key, client("unlisted.example")) == refused
    assert ask(door, CHAT, None, others) == refused  # the organisation does not exist
    door.store.add_organisation("other")
    time.sleep(1)
    assert ask(door, CHAT, None, others) == (200, "")
    assert ask(door, CHAT, door.key, others) == refused  # somebody else's certificate
    assert ask(door, CHAT, "sr_wrong", ours) == refused


def test_openais_client_is_told_how_limits_stand(open_door: OpenDoor) -> None:
    door = open_door()
    limits = Limits(minute=Amounts(requests=2, output_tokens=1000))
    client = door.client(door.new_key("limited", limits=limits))
    message = {"role": "user", "content": "hello"}
    words: dict[str, Any] = {"model": "smol", "messages": [message], "max_tokens": 4}
    headers = client.chat.completions.with_raw_response.create(**words).headers
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    client.chat.completions.create(**words)
    with pytest.raises(RateLimitError) as caught:
        client.chat.completions.create(**words)
    assert caught.value.code == "gateway.limit_reached"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 61
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_an_organisations_limit_holds_for_all_its_keys(open_door: OpenDoor) -> None:
    door = open_door()
    keys = [door.new_key("many") for _ in range(4)]
    door.store.set_organisation_limits("many", Limits(day=Amounts(requests=3)))
    time.sleep(0.6)
    assert [ask(door, CHAT, key) for key in keys] == [(200, "")] * 3 + [LIMITED]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_gateways_share_a_budget_in_redis(open_door: OpenDoor, server: Server) -> None:
    first = open_door(counters=server.url)
    key = first.new_key("shared")
    first.store.set_organisation_limits("shared", Limits(total=Amounts(requests=4)))
    assert [ask(first, CHAT, key)[0] for _ in range(3)] == [200] * 3
    first.process.terminate()
    first.restart()
    assert ask(first, CHAT, key) == (200, "")
    assert ask(first, CHAT, key) == (429, "gateway.limit_too_small")
    first.store.set_organisation_limits("shared", Limits())
    time.sleep(0.6)
    assert ask(first, CHAT, key) == (200, "")
    server.kill()
    status, code = ask(first, CHAT, key)
    assert status == 503
    assert code.startswith(("gateway.", "limits."))
    server.start()
    assert ask(first, CHAT, key) == (200, "")
