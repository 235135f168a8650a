"""An issuer of tokens, an authority of certificates, and a store with two organisations."""

from __future__ import annotations

import base64
import datetime
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from strongroom.store.sqlite import SqliteStore

ED = ed25519.Ed25519PrivateKey.generate()
OTHER_ED = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
ISSUER, AUDIENCE = "https://issuer.example", "strongroom"


def store_at(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.add_organisation("acme")
    store.add_organisation("other")
    return store


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        made = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        made.pop("key_ops", None)
    return {**made, "kid": kid, **more}


def write_jwks(path: Path, *keys: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"keys": list(keys)}))
    return path


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "exp": now + 600,
        "nbf": now - 10,
        "organisation": "acme",
        "scope": "chat models",
    }
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hand_made(header: dict[str, Any], payload: bytes, key: Any = ED) -> str:
    """A token as an attacker would write it: any header, any payload, signed with Ed25519."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


class Authority:
    """Issues certificates, as a company's own authority does."""

    def __init__(self, name: str = "authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._make(self.name, self.key, (), authority=True)

    def issue(self, common: str, *names: x509.GeneralName, days: int = 1) -> tuple[bytes, bytes]:
        """A certificate and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        made = self._make(subject, key, names, days=days)
        return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def _make(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: tuple[x509.GeneralName, ...],
        *,
        authority: bool = False,
        days: int = 1,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        ends = now + datetime.timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, ends) - datetime.timedelta(days=1))
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def der(pem: bytes) -> bytes:
    loaded = x509.load_pem_x509_certificate(pem)
    return loaded.public_bytes(serialization.Encoding.DER)
