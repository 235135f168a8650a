"""A simulated AWS Nitro: a root of our own, and attestation documents signed under it.

Keys come from fixed seeds and signatures are deterministic (RFC 6979), so that ``write_fixtures``
makes the same bytes every time::

    python -m tests.attest.simulated.nitro

writes ``tests/attest/simulated/nitro_fixtures/``. No private key is worth anything: each is the
SHA-384 of its name. CBOR is written here by ``cbor2``, which the verifier does not use.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

FOLDER = Path(__file__).parent / "nitro_fixtures"
NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
DAY = 86_400
ROOT, REGION, ZONE, INSTANCE = "sim.root", "sim.region", "sim.zone", "i-0123456789abcdef0.sim"
MODULE = "i-0123456789abcdef0-enc0123456789abcde"
LEAF = f"{MODULE}.sim-east-1.aws"
NONCE = bytes(range(32))


@cache
def key(name: str, curve: type[ec.EllipticCurve] = ec.SECP384R1) -> ec.EllipticCurvePrivateKey:
    """The key that ``name`` stands for."""
    secret = int.from_bytes(hashlib.sha384(f"simulated nitro {name}".encode()).digest(), "big")
    made = curve()
    return ec.derive_private_key(secret >> (384 - made.key_size + 1) | 1, made)


@cache
def sign(name: str, message: bytes) -> bytes:
    """r ‖ s over ``message``, ES384."""
    der = key(name).sign(message, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated Nitro (test only)"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(signing: bool, issuing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issuing,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


@cache
def certificate(
    subject: str,
    issuer: str,
    *,
    ca: bool = True,
    below: int | None = None,
    not_before: int = NOW - DAY,
    not_after: int = NOW + DAY,
    signing: bool | None = None,
    critical: str = "",
    issuer_key: str = "",
    curve: type[ec.EllipticCurve] = ec.SECP384R1,
    digest: type[hashes.HashAlgorithm] = hashes.SHA384,
) -> bytes:
    """A certificate in DER whose keys are those of the names, unless said otherwise."""
    signs = not ca if signing is None else signing
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key(subject, curve).public_key())
        .serial_number(int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big"))
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .add_extension(x509.BasicConstraints(ca, below if ca else None), critical=True)
        .add_extension(_usage(signs, ca), critical=True)
    )
    if critical:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(critical), b"\5\0")
        builder = builder.add_extension(extension, critical=True)
    made = builder.sign(key(issuer_key or issuer), digest(), ecdsa_deterministic=True)  # type: ignore[arg-type]
    return made.public_bytes(Encoding.DER)


def root_der() -> bytes:
    return certificate(ROOT, ROOT, not_before=NOW - 2000 * DAY, not_after=NOW + 8000 * DAY)


def chain() -> tuple[bytes, ...]:
    """Root, region, zone and instance, as AWS issues them."""
    return (
        root_der(),
        certificate(REGION, ROOT, below=2),
        certificate(ZONE, REGION, below=1),
        certificate(INSTANCE, ZONE, below=0),
    )


def leaf(**changes: Any) -> bytes:
    """The certificate of the enclave, which lives for three hours."""
    made = {"ca": False, "not_before": NOW - 60, "not_after": NOW + 3 * 3600} | changes
    return certificate(made.pop("subject", LEAF), made.pop("issuer", INSTANCE), **made)


def pcrs(**changes: bytes) -> dict[int, bytes]:
    """PCRs 0 to 15; 0, 1, 2, 4 and 8 are set."""
    values = {i: bytes(48) for i in range(16)}
    for i in (0, 1, 2, 4, 8):
        values[i] = bytes([0xB0 + i] * 48)
    return values | {int(name[3:]): value for name, value in changes.items()}


@dataclass(frozen=True)
class Nitro:
    """How to make a document; every field is a place at which a bad one may differ."""

    fields: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    cabundle: tuple[bytes, ...] | None = None
    certificate: bytes | None = None
    protected: bytes = bytes.fromhex("a1013822")
    unprotected: dict[Any, Any] = field(default_factory=dict)
    signed_by: str = LEAF
    signature: bytes | None = None
    payload: bytes | None = None
    definite: bool = False

    def body(self) -> bytes:
        values: dict[str, Any] = {
            "module_id": MODULE,
            "digest": "SHA384",
            "timestamp": NOW * 1000,
            "pcrs": pcrs(),
            "certificate": self.certificate or leaf(),
            "cabundle": list(self.cabundle if self.cabundle is not None else chain()),
            "public_key": b"key",
            "user_data": bytes([0xDA] * 64),
            "nonce": NONCE,
        } | self.fields
        kept = {name: value for name, value in values.items() if name not in self.without}
        if self.definite:
            return cbor2.dumps(kept)
        inner = b"".join(cbor2.dumps(name) + cbor2.dumps(value) for name, value in kept.items())
        return b"\xbf" + inner + b"\xff"

    def encode(self) -> bytes:
        payload = self.body() if self.payload is None else self.payload
        message = cbor2.dumps(["Signature1", self.protected, b"", payload])
        signature = sign(self.signed_by, message) if self.signature is None else self.signature
        return cbor2.dumps([self.protected, self.unprotected, payload, signature])


def document(**changes: Any) -> bytes:
    """A document; ``changes`` are fields of `Nitro`."""
    return Nitro(**changes).encode()


def fixtures() -> dict[str, bytes]:
    """The committed files: name to content."""
    return {
        "root.der": root_der(),
        "document.bin": document(),
        "document_debug.bin": document(fields={"pcrs": pcrs(pcr0=bytes(48))}),
    }


def write_fixtures(folder: Path = FOLDER) -> None:
    """Write every file of ``fixtures`` into ``folder``."""
    folder.mkdir(exist_ok=True)
    for name, content in fixtures().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    write_fixtures()
