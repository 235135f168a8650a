"""The pieces of the KBS wire by themselves: published vectors, genuine evidence, HTTP, nonsense."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.exceptions import InvalidTag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.attest import registry
from strongroom.attest.bundle import Bundle
from strongroom.attest.certificates import read_pem
from strongroom.errors import ConfigurationRefused, StrongroomError
from strongroom.release.kbs import app, binding, jwe, sessions, tee_key
from strongroom.release.kbs.app import KbsApp
from strongroom.release.kbs.evidence import Collateral
from strongroom.release.kbs.http import Asked, handle
from strongroom.release.kbs.resources import Resource, Resources

from .conftest import PATH, Kbs
from .guest import Guest, concat_kdf, unb64url


def test_the_guests_key_derivation_is_the_published_one() -> None:
    """RFC 7518, appendix C: so that both ends cannot be wrong in the same way."""
    secret = [
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110,
        163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
    ]  # fmt: skip
    derived = concat_kdf(bytes(secret), b"A128GCM", 128, b"Alice", b"Bob")
    assert derived == unb64url("VqqN6vgjbSBcIijNcacQGg")


@pytest.mark.parametrize("kind", ["P-256", "P-521", "RSA"])
def test_every_member_of_a_resource_is_authenticated(kind: str) -> None:
    guest = Guest(kind)
    sealed = jwe.encrypt(b"k" * 32, tee_key.read(guest.jwk))
    assert guest.open(sealed) == b"k" * 32
    assert sealed["ciphertext"] != jwe.encrypt(b"k" * 32, tee_key.read(guest.jwk))["ciphertext"]
    for name, text in sealed.items():
        other = "B" if text[5] == "A" else "A"
        with pytest.raises((InvalidTag, ValueError, AssertionError, KeyError, Exception)):
            guest.open({**sealed, name: text[:5] + other + text[6:]})
    with pytest.raises(Exception):  # noqa: B017
        Guest(kind).open(sealed)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.dictionaries(st.text(st.sampled_from("abcxyzKN-_"), max_size=6), TEXTS), TEXTS, TEXTS)
def test_canonical_json_is_that_of_another_implementation(
    key: dict[str, str], nonce: str, more: str
) -> None:
    content = {"tee-pubkey": key, "nonce": nonce, "additional-evidence": more}
    assert binding.canonical(content) == rfc8785.dumps(content)


def test_a_genuine_guests_evidence(shared_data: Path) -> None:
    """What the agent of Confidential Containers wrote on a Genoa, field by field."""
    folder = shared_data / "attestation" / "snp"
    path = folder / "coco_kbs_snp_evidence_genoa.json"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    ask, ark, _ = read_pem((folder / "genoa_ask_ark_asvk.pem").read_bytes())
    known = Collateral([Bundle(kind="snp", evidence={}, certificates=(b"", ask, ark))])
    raw = path.read_bytes()
    bundle = known.bundle("snp", raw, "")
    bound = bytes(json.loads(raw)["attestation_report"]["report_data"]).hex()
    expected = {"snp": {"allow_smt": True, "report_data": bound}}
    (facts,) = registry.verify_bundle(bundle, now=1_760_000_000, expectations=expected)
    assert (facts.product, facts.debug, facts.assurance) == ("Genoa", False, "HARDWARE")
    # The same by a field that is not signed, and by one that is.
    for change in ({"cpuid_step": 9}, {"measurement": [0] * 48}, {"version": 2}):
        edited = json.loads(raw)
        edited["attestation_report"].update(change)
        bundle = known.bundle("snp", json.dumps(edited).encode(), "")
        with pytest.raises(StrongroomError):
            registry.verify_bundle(bundle, now=1_760_000_000, expectations=expected)


def test_tdx_goes_to_its_verifier() -> None:
    bundle = Collateral().bundle("tdx", b'{"quote": "AAAA", "cc_eventlog": "BBBB"}', "{}")
    assert (bundle.kind, bundle.evidence, bundle.nested) == ("tdx", {"quote": bytes(3)}, ())
    with pytest.raises(StrongroomError) as refused:
        registry.verify_bundle(bundle, now=0, expectations={"tdx": {"report_data": "00" * 64}})
    assert refused.value.code.startswith("attest.")


@pytest.mark.parametrize("path", ["a/b", "a/b/c/d", "/a/b/c", "a/../c", "a/b/c\n", ""])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(ConfigurationRefused) as refused:
        Resources({path: Resource("m", 1, "ab" * 32, b"", ())})
    assert refused.value.code == "release.kbs_path"


def test_collateral_that_cannot_be_read() -> None:
    for bad in ({"certificates": (b"", b"x")}, {"crls": (b"x",)}):
        with pytest.raises(ConfigurationRefused) as refused:
            Collateral([Bundle(kind="snp", evidence={}, **bad)])  # type: ignore[arg-type]
        assert refused.value.code == "release.kbs_collateral"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PLACES = (
    ("runtime-data",),
    ("runtime-data", "nonce"),
    ("runtime-data", "tee-pubkey", "x"),
    ("tee-evidence", "primary_evidence"),
    ("tee-evidence", "primary_evidence", "attestation_report", "policy"),
    ("tee-evidence", "additional_evidence"),
    ("tee-evidence", "primary_evidence", "cert_chain"),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.sampled_from(PLACES), value=JSON, name=st.sampled_from(["auth", "attest"]))
def test_nonsense_is_refused_and_nothing_else(
    kbs: Kbs, place: tuple[str, ...], value: Any, name: str
) -> None:
    guest = Guest()
    cookie, nonce = kbs.auth(guest)
    body: Any = guest.attestation(nonce)
    within = body
    for step in place[:-1]:
        within = within[step]
    if within[place[-1]] == value:
        return
    within[place[-1]] = value
    answer = kbs.ask("POST", name, body, cookies=(cookie,))
    assert answer.status == 401
    assert json.loads(answer.body)["type"].startswith("tag:strongroom,2026:kbs/errors/")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200), name=st.sampled_from(["auth", "attest"]))
def test_any_bytes_are_answered(kbs: Kbs, raw: bytes, name: str) -> None:
    cookie, _ = kbs.auth(Guest())
    answer = handle(kbs.service, Asked("POST", f"/kbs/v0/{name}", raw, cookies=(cookie,)))
    assert answer.status == 401


def test_over_http(kbs: Kbs) -> None:
    """A guest over a real socket: cookie jar, statuses, a body that is too long."""
    uvicorn = pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(KbsApp(kbs.service), log_level="error", lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        connection = http.client.HTTPConnection(*listening.getsockname(), timeout=10)
        guest = Guest()

        def ask(method: str, name: str, body: bytes = b"", cookie: str = "") -> Any:
            headers = {"Cookie": cookie} if cookie else {}
            for _ in range(100):
                try:
                    connection.request(method, f"/kbs/v0/{name}", body, headers)
                    return connection.getresponse()
                except ConnectionError:
                    connection.close()
                    time.sleep(0.05)
            raise AssertionError("the server does not answer")

        began = ask("POST", "auth", json.dumps(guest.request()).encode())
        nonce = json.loads(began.read())["nonce"]
        cookie = str(began.headers["Set-Cookie"]).partition(";")[0]
        body = json.dumps(guest.attestation(nonce)).encode()
        attested = ask("POST", "attest", body, cookie)
        assert attested.status == 200, attested.read()
        attested.read()
        fetched = ask("GET", f"resource/{PATH}", b"", cookie)
        assert guest.open(json.loads(fetched.read())) == kbs.secret
        assert fetched.headers["Cache-Control"] == "no-store"
        huge = ask("POST", "auth", b"x" * (2 * 1024 * 1024))
        assert (huge.status, b"kbs_oversized" in huge.read()) == (401, True)
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


def test_a_body_that_does_not_arrive(kbs: Kbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is answered and free again; nothing of the message was used."""
    monkeypatch.setattr(app, "BODY_SECONDS", 0.01)
    told: list[Any] = []

    async def never() -> Any:
        await asyncio.sleep(60)

    async def tell(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/kbs/v0/auth", "headers": []}
    asyncio.run(KbsApp(kbs.service)(scope, never, tell))
    assert told[0]["status"] == 408
    assert b"release.kbs_slow" in told[1]["body"]


def test_strangers_leave_room_for_the_other_wire(kbs: Kbs) -> None:
    """Challenges are counted together with those of workloads on this machine."""
    from strongroom.release.kbs.service import KbsService
    from strongroom.release.nonces import NonceRegistry

    shared = NonceRegistry()
    service = KbsService(kbs.parts, nonces=shared)
    asked = json.dumps(Guest().request()).encode()
    for _ in range(sessions.MAX_SESSIONS):
        service.auth(asked)
    with pytest.raises(StrongroomError) as full:
        service.auth(asked)
    assert full.value.code == "release.busy"
    shared.issue(b"s" * 16, b"n" * 32, time.monotonic())
    shared.consume(b"s" * 16, b"n" * 32, time.monotonic())
