"""Certificates as identity: whom they stand for, and that TLS hands over what it verified."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from strongroom.gateway.client_certificates import (
    CertificateAuthenticator,
    ClientCertificate,
    certificate_of,
)
from strongroom.gateway.config import Tls
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.tls import tls_context
from strongroom.store.limits import Limits, Subject
from strongroom.store.sqlite import SqliteStore

from .identities import Authority, der, store_at

AUTHORITY = Authority()
SPIFFE = x509.UniformResourceIdentifier("spiffe://acme.example/app")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with store_at(tmp_path / "keys.sqlite") as store:
        yield store  # type: ignore[misc]


def refused(door: CertificateAuthenticator, certificate: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        door.authenticate(certificate)
    assert (caught.value.code, caught.value.status) == ("gateway.invalid_api_key", 401)


def test_a_certificate_is_known_by_its_digest_or_its_name(store: SqliteStore) -> None:
    pinned = der(AUTHORITY.issue("pinned")[0])
    named = der(AUTHORITY.issue("named", x509.DNSName("App.acme.example"))[0])
    spiffe = der(AUTHORITY.issue("spiffe", SPIFFE)[0])
    digest = hashlib.sha256(pinned).hexdigest()
    door = CertificateAuthenticator(
        store,
        (
            ClientCertificate("acme", sha256=digest, scopes=frozenset({"infer"})),
            ClientCertificate("acme", name="dns:app.acme.example", limits=Limits(concurrent=2)),
            ClientCertificate("other", name=f"uri:{SPIFFE.value}"),
        ),
    )
    caller = door.authenticate(pinned)
    assert (caller.organisation, caller.scopes) == ("acme", {"infer"})
    assert caller.key_id == f"cert:{digest[:32]}"
    caller = door.authenticate(named)
    assert caller.subjects[1] == Subject("key", caller.key_id, Limits(concurrent=2))
    assert door.authenticate(spiffe).organisation == "other"


def test_certificates_that_stand_for_nobody(store: SqliteStore) -> None:
    door = CertificateAuthenticator(
        store,
        (
            ClientCertificate("acme", name="dns:app.acme.example"),
            ClientCertificate("other", name=f"uri:{SPIFFE.value}"),
            ClientCertificate("absent", name="dns:absent.example"),
        ),
    )
    good = x509.DNSName("app.acme.example")
    assert door.authenticate(der(AUTHORITY.issue("good", good)[0]))
    for pem, _ in (
        AUTHORITY.issue("app.acme.example"),  # a common name is no name
        AUTHORITY.issue("wild", x509.DNSName("*.acme.example")),
        AUTHORITY.issue("sub", x509.DNSName("x.app.acme.example")),
        AUTHORITY.issue("mail", x509.RFC822Name("app.acme.example")),
        AUTHORITY.issue("uri", x509.UniformResourceIdentifier("dns:app.acme.example")),
        AUTHORITY.issue("both", good, SPIFFE),  # two organisations
        AUTHORITY.issue("ended", good, days=-1),
        AUTHORITY.issue("absent", x509.DNSName("absent.example")),
    ):
        refused(door, der(pem))
    for raw in (b"", b"garbage", der(AUTHORITY.issue("good", good)[0])[:-1]):
        refused(door, raw)


@pytest.mark.parametrize(
    "entry",
    [
        {"organisation": "a"},
        {"organisation": "a", "sha256": "0" * 64, "name": "dns:a"},
        {"organisation": "a", "sha256": "0" * 63},
        {"organisation": "a", "sha256": "A" * 64},
        {"organisation": "a", "name": "dns:*.a"},
        {"organisation": "a", "name": "dns:UPPER"},
        {"organisation": "a", "name": "cn:a"},
        {"organisation": "a", "name": "dns:a", "scopes": ["admin"]},
    ],
    ids=str,
)
def test_entries_that_are_refused(entry: dict[str, object]) -> None:
    assert msgspec.convert({"organisation": "a", "name": "dns:a"}, ClientCertificate)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(entry, ClientCertificate)


def test_tls_hands_over_what_it_verified(tmp_path: Path) -> None:
    def written(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    server = AUTHORITY.issue("server", x509.DNSName("localhost"))
    mine, foreign = AUTHORITY.issue("client"), Authority("elsewhere").issue("client")
    context = tls_context(
        Tls(
            written("server.pem", server[0]),
            written("server.key", server[1]),
            written("ca.pem", AUTHORITY.pem()),
        )
    )
    seen: list[bytes | None] = []

    async def connect(client: tuple[bytes, bytes] | None) -> bytes:
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        if client is not None:
            names = written("client.pem", client[0]), written("client.key", client[1])
            trust.load_cert_chain(*names)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trust, server_hostname="localhost"
        )
        try:
            return await reader.read()
        finally:
            writer.close()

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(certificate_of(writer.transport))
        writer.write(b"hello")
        writer.close()

    port = 0

    async def scenario() -> None:
        nonlocal port
        listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = listener.sockets[0].getsockname()[1]
        assert await connect(mine) == b"hello"
        for nobody in (None, foreign):
            try:
                assert await connect(nobody) == b""
            except (ssl.SSLError, ConnectionError):
                continue  # a client may learn of it in either way
        listener.close()

    asyncio.run(scenario())
    assert seen == [der(mine[0])]


def test_without_tls_there_is_no_certificate() -> None:
    assert certificate_of(asyncio.Transport()) is None
