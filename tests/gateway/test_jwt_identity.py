"""Tokens: what is let in, and every known way to forge one, each beside the honest one."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

pytest.importorskip("jwt", reason="the extra `jwt` is not installed")
import jwt

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.jwt_identity import MAX_TOKEN_BYTES, JwtAuthenticator, JwtTrust, read_jwks
from strongroom.gateway.refusals import Refusal
from strongroom.store.limits import Limits, Subject
from strongroom.store.sqlite import SqliteStore

from .identities import (
    AUDIENCE,
    ED,
    ISSUER,
    OTHER_ED,
    RSA,
    b64,
    claims,
    hand_made,
    jwk,
    store_at,
    write_jwks,
)

HEADER = {"alg": "EdDSA", "kid": "ed"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with store_at(tmp_path / "keys.sqlite") as store:
        yield store  # type: ignore[misc]


@pytest.fixture
def trust(tmp_path: Path) -> JwtTrust:
    path = write_jwks(tmp_path / "jwks.json", jwk(ED, "ed"), jwk(RSA, "rsa"))
    return JwtTrust(ISSUER, AUDIENCE, str(path), limits=Limits(concurrent=3))


@pytest.fixture
def door(store: SqliteStore, trust: JwtTrust) -> JwtAuthenticator:
    return JwtAuthenticator(store, trust)


def signed(key: Any = ED, kid: str = "ed", alg: str = "EdDSA", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=alg, headers={"kid": kid})


def refused(door: JwtAuthenticator, token: str) -> bool:
    with pytest.raises(Refusal) as caught:
        door.authenticate(token)
    assert (caught.value.code, caught.value.status) == ("gateway.invalid_api_key", 401)
    return token[:10] not in str(caught.value)


def test_honest_tokens_of_both_algorithms(door: JwtAuthenticator) -> None:
    for token in (signed(), signed(RSA, "rsa", "RS256")):
        caller = door.authenticate(token)
        assert (caller.organisation, caller.scopes) == ("acme", {"chat", "models"})
        assert caller.key_id.startswith("jwt:")
        assert caller.subjects == (
            Subject("organisation", "acme"),
            Subject("key", caller.key_id, Limits(concurrent=3)),
        )
    assert door.authenticate(signed()).key_id == caller.key_id
    assert door.authenticate(signed(sub="bob")).key_id != caller.key_id


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": timedelta(seconds=-60)},
        {"exp": timedelta(hours=25)},
        {"nbf": timedelta(seconds=60)},
        {"iat": timedelta(seconds=60)},
        {"aud": None},
        {"aud": "somebody else"},
        {"aud": []},
        {"iss": None},
        {"iss": "https://issuer.example.evil"},
        {"sub": None},
        {"sub": 5},
        {"organisation": None},
        {"organisation": "nobody"},
        {"organisation": ["acme"]},
        {"organisation": 1},
        {"scope": ["chat"]},
    ],
    ids=str,
)
def test_claims_that_are_refused(door: JwtAuthenticator, changes: dict[str, Any]) -> None:
    assert door.authenticate(signed())
    for name, value in changes.items():
        if isinstance(value, timedelta):  # from when the test runs, not from when it was collected
            changes = {**changes, name: int(time.time() + value.total_seconds())}
    try:
        token = signed(**changes)
    except TypeError:  # PyJWT itself will not write it
        token = hand_made(HEADER, json.dumps(claims(**changes)).encode())
    assert refused(door, token)


def test_several_audiences_are_fine_if_ours_is_among_them(door: JwtAuthenticator) -> None:
    assert door.authenticate(signed(aud=["somebody else", AUDIENCE]))


def test_no_scope_allows_nothing_and_unknown_ones_count_for_nothing(door: JwtAuthenticator) -> None:
    assert door.authenticate(signed(scope=None)).scopes == frozenset()
    assert door.authenticate(signed(scope="admin infer *")).scopes == {"infer"}


def test_an_issuer_speaks_only_for_whom_it_may(store: SqliteStore, trust: JwtTrust) -> None:
    narrow = JwtTrust(ISSUER, AUDIENCE, trust.jwks, organisations=("other",))
    door = JwtAuthenticator(store, narrow)
    assert door.authenticate(signed(organisation="other"))
    assert refused(door, signed())


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "HS384", "ES256", "PS256"])
def test_other_algorithms_are_refused(door: JwtAuthenticator, alg: str) -> None:
    body = json.dumps(claims()).encode()
    assert door.authenticate(hand_made(HEADER, body))
    assert refused(door, hand_made({**HEADER, "alg": alg}, body))
    head = b64(json.dumps({"alg": alg, "kid": "ed"}).encode())
    assert refused(door, f"{head}.{b64(body)}.")
    assert refused(door, f"{head}.{b64(body)}.{b64(b'x')}")


@pytest.mark.parametrize("kid", ["ed", "rsa"])
def test_a_public_key_is_no_hmac_secret(door: JwtAuthenticator, kid: str) -> None:
    public = (ED if kid == "ed" else RSA).public_key()
    forms = [
        public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
    ]
    if kid == "ed":
        forms.append(
            public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        )
    for secret in forms:
        for said in ("HS256", "EdDSA", "RS256"):
            head = json.dumps({"alg": said, "kid": kid}).encode()
            text = f"{b64(head)}.{b64(json.dumps(claims()).encode())}"
            mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
            assert refused(door, f"{text}.{b64(mac)}")


@pytest.mark.parametrize(
    "more",
    [
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/x"},
        {"jwk": jwk(OTHER_ED, "ed")},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"b64": False},
        {"typ": "JWE"},
        {"cty": "JWT"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_headers_that_point_elsewhere_are_refused(
    door: JwtAuthenticator, more: dict[str, Any]
) -> None:
    body = json.dumps(claims()).encode()
    assert door.authenticate(hand_made({**HEADER, "typ": "JWT"}, body))
    assert refused(door, hand_made({**HEADER, **more}, body))
    assert refused(door, hand_made({**HEADER, **more}, body, OTHER_ED))


def test_keys_are_not_confused(door: JwtAuthenticator) -> None:
    body = json.dumps(claims()).encode()
    assert refused(door, hand_made({"alg": "EdDSA", "kid": "rsa"}, body))
    assert refused(door, hand_made({"alg": "RS256", "kid": "ed"}, body))
    assert refused(door, hand_made({"alg": "EdDSA"}, body))
    for kid in ("unknown", "", 7, None, ["ed"], {"ed": 1}, "../../etc/passwd"):
        assert refused(door, hand_made({"alg": "EdDSA", "kid": kid}, body))
    assert refused(door, hand_made(HEADER, body, OTHER_ED))


def test_what_is_no_token_is_refused(door: JwtAuthenticator) -> None:
    good = signed()
    head, body, signature = good.split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    bodies = [b"", b"null", b"[]", b"{", b"\xff", b'{"exp": 1e999}', b"[" * 4000]
    bodies += [json.dumps(claims()).replace("acme", "other").encode()]
    tokens = [hand_made(HEADER, each) for each in bodies[:-1]]
    tokens += [f"{head}.{b64(bodies[-1])}.{signature}", f"{head}.{body}.{flipped}"]
    tokens += ["", ".", "..", "...", f"{good}.{signature}", f" {good}", f"{good}\n", f"{good}="]
    tokens += [f"{b64(b'[]')}.{body}.{signature}", f"{b64(b'[' * 3000)}.{body}.{signature}"]
    tokens += ["a.b.c", "é.é.é", signed(padding="x" * MAX_TOKEN_BYTES)]
    for exp in (b"Infinity", b"NaN", b"true", b'"never"', b"[1]", b"1" + b"0" * 400):
        text = json.dumps(claims(exp=1234567)).encode().replace(b"1234567", exp)
        tokens.append(hand_made(HEADER, text))
    for token in tokens:
        assert refused(door, token) or len(token) < 10, token
    assert door.authenticate(good)


def test_a_token_ends_also_when_it_is_remembered(
    door: JwtAuthenticator, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signed()
    door.authenticate(token)
    later = time.time() + 700
    monkeypatch.setattr("time.time", lambda: later)
    monkeypatch.setattr("jwt.api_jwt.datetime", _Later(later))
    assert refused(door, token)


class _Later:
    """``datetime`` as PyJWT asks it for the time."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self, tz: object = None) -> Any:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self._now, UTC)


def test_files_of_keys_that_are_refused(tmp_path: Path) -> None:
    good = jwk(ED, "ed")
    private = jwt.algorithms.OKPAlgorithm.to_jwk(ED, as_dict=True)
    weak = jwk(rsa.generate_private_key(65537, 1024), "weak")
    bad: dict[str, object] = {
        "none": {"keys": []},
        "no list": {"keys": {}},
        "not keys": [good],
        "private": {"keys": [{**private, "kid": "ed"}]},
        "secret": {"keys": [good, {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]},
        "no kid": {"keys": [{name: value for name, value in good.items() if name != "kid"}]},
        "twice": {"keys": [good, jwk(OTHER_ED, "ed")]},
        "for encryption": {"keys": [{**good, "use": "enc"}]},
        "HS256": {"keys": [{**good, "alg": "HS256"}]},
        "another algorithm": {"keys": [{**jwk(RSA, "r"), "alg": "PS256"}]},
        "weak": {"keys": [weak]},
        "other curve": {"keys": [{**good, "crv": "X25519"}]},
        "certificate": {"keys": [{**good, "x5u": "https://evil.example"}]},
        "garbage": {"keys": [{**good, "x": "!!"}]},
        "a number": 5,
    }
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [good, jwk(RSA, "rsa", use="sig", alg="RS256")]}))
    assert set(read_jwks(path)) == {"ed", "rsa"}
    for name, content in bad.items():
        path.write_text(json.dumps(content))
        with pytest.raises(ConfigurationRefused) as caught:
            read_jwks(path)
        assert caught.value.code == "gateway.bad_jwks", name
        assert private["d"] not in str(caught.value)
    for raw in (b"", b"\xff{}", b"[" * 10_000):
        path.write_bytes(raw)
        with pytest.raises(ConfigurationRefused):
            read_jwks(path)
    with pytest.raises(ConfigurationRefused):
        read_jwks(tmp_path / "absent")
    assert isinstance(ED, ed25519.Ed25519PrivateKey)


def test_a_key_that_is_taken_out_of_the_file_ends_and_one_that_is_put_in_begins(
    door: JwtAuthenticator, trust: JwtTrust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.gateway.jwt_identity.LOOK_SECONDS", 0.0)
    door._look_again = 0.0
    path = Path(trust.jwks)
    old, new = signed(), jwt.encode(claims(), OTHER_ED, "EdDSA", headers={"kid": "new"})
    assert door.authenticate(old)
    assert refused(door, new)
    write_jwks(path, jwk(OTHER_ED, "new"))
    assert refused(door, old)  # also from what was remembered
    assert door.authenticate(new)
    path.write_text("{")  # in the middle of being written, or wrong: nobody
    assert refused(door, new)
    path.unlink()
    assert refused(door, new)
    write_jwks(path, jwk(ED, "ed"), jwk(OTHER_ED, "new"))
    assert door.authenticate(old)
    assert door.authenticate(new)
