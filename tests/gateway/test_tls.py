"""TLS and mutual TLS at the door itself."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import OpenDoor


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def test_tls(open_door: OpenDoor, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "door")
    door = open_door(tls={"cert": str(cert), "key": str(key)})
    assert door.url.startswith("https://")
    url = f"https://localhost:{door.port}/healthz"
    trusting = ssl.create_default_context(cafile=str(cert))
    assert httpx2.get(url, verify=trusting).json() == {"live": True}
    with pytest.raises(httpx2.TransportError):
        httpx2.get(url)
    with pytest.raises(httpx2.TransportError):
        httpx2.get(url.replace("https", "http"))


def test_mutual_tls_refuses_whoever_shows_no_certificate(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, "door")
    own, own_key = certificate(tmp_path, "caller")
    foreign, foreign_key = certificate(tmp_path, "foreign")
    door = open_door(tls={"cert": str(cert), "key": str(key), "client_ca": str(own)})
    url = f"https://localhost:{door.port}/healthz"

    def get(pair: tuple[Path, Path] | None) -> int:
        context = ssl.create_default_context(cafile=str(cert))
        if pair is not None:
            context.load_cert_chain(*pair)
        return httpx2.get(url, verify=context).status_code

    assert get((own, own_key)) == 200
    for pair in (None, (foreign, foreign_key)):
        with pytest.raises(httpx2.TransportError):
            get(pair)


def test_a_key_that_does_not_fit_stops_the_start(open_door: OpenDoor, tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path, "door")
    _, key = certificate(tmp_path, "other")
    with pytest.raises(RuntimeError, match=r"gateway\.bad_tls"):
        open_door(tls={"cert": str(cert), "key": str(key)})
