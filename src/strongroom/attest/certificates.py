"""X.509 certificates and revocation lists (RFC 5280), as manufacturers of processors issue them.

Only what verifiers need, read strictly: version 3, DER throughout, the inner algorithm equal to
the outer one, no extension twice. Chains are not searched for: a verifier knows which certificate
must have signed which. A root is recognised by the SHA-256 of its DER form and by nothing else.

Our own reader, because AMD's certificates carry serial number 0, which RFC 5280 forbids and
general libraries are about to refuse; the tests compare it with such a library.

What a certificate says never changes, so that reading and signatures are remembered by the bytes
they were computed from. What changes is the time, which callers check each time.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.attest import der
from strongroom.attest.interface import CertificateDates

MAX_CERTIFICATE = 16 * 1024
MAX_REVOCATION_LIST = 1024 * 1024
BASIC_CONSTRAINTS, KEY_USAGE = "2.5.29.19", "2.5.29.15"
COMMON_NAME = "2.5.4.3"
UNLIMITED = 255
# Over bytes: in text, \s and split() also take the control characters 0x1C to 0x1F.
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")

# AlgorithmIdentifier of RSASSA-PSS with SHA-384, MGF1 with SHA-384 and salt length 48 (RFC 4055),
# without and with the trailer field that DER would leave out; AMD issues both.
_PSS = bytes.fromhex(
    "06092a864886f70d01010a3034a00f300d06096086480165030402020500"
    "a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130"
)
RSA_PSS_SHA384 = frozenset(
    {
        b"\x30\x41" + _PSS,
        b"\x30\x46" + _PSS[:11] + b"\x30\x39" + _PSS[13:] + b"\xa3\x03\x02\x01\x01",
    }
)
ECDSA_SHA384 = frozenset({bytes.fromhex("300a06082a8648ce3d040303")})


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: whether it must be understood, and its value."""

    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes that were signed, the algorithm's identifier, and the signature."""

    body: bytes
    algorithm: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate. Names are DER, because equal means equal in every byte; times Unix seconds."""

    fingerprint: str
    signed: Signed
    serial: int
    issuer: bytes
    subject: bytes
    not_before: int
    not_after: int
    public_key: bytes
    extensions: Mapping[str, Extension]
    authorities_below: int

    @property
    def common_name(self) -> str:
        """The subject's common name; empty if it has none, or several."""
        names = [text for kind, text in _attributes(self.subject) if kind == COMMON_NAME]
        return names[0] if len(names) == 1 else ""

    @property
    def dates(self) -> CertificateDates:
        """The subject's common name and the validity."""
        return CertificateDates(self.common_name, self.not_before, self.not_after)

    def valid_at(self, now: int) -> bool:
        """Whether the certificate is valid at this time."""
        return self.not_before <= now <= self.not_after

    def may_issue(self, below: int) -> bool:
        """Whether it is an authority that may sign others, ``below`` more authorities under it."""
        return self.authorities_below >= below

    def understood(self, *known: str) -> bool:
        """Whether every critical extension is among those that the caller knows."""
        return all(name in known for name, entry in self.extensions.items() if entry.critical)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list of revoked certificates of one issuer, by serial number."""

    signed: Signed
    issuer: bytes
    this_update: int
    next_update: int
    serials: frozenset[int]

    def fresh_at(self, now: int) -> bool:
        """Whether the list is the one to go by at this time."""
        return self.this_update <= now <= self.next_update


def read_pem(text: bytes) -> tuple[bytes, ...]:
    """DER of the certificates in a PEM text that holds nothing else, in order.

    Each body must be the canonical base64 of its DER; only white space may vary.

    Raises:
        ValueError: it is no such text.
    """
    bounded = text[: 16 * MAX_CERTIFICATE + 1].lstrip()
    bodies = [b"".join(body.split()) for body in _PEM.findall(bounded)]
    if len(bounded) > 16 * MAX_CERTIFICATE or not bodies or _PEM.sub(b"", bounded):
        raise ValueError("PEM")
    found = tuple(base64.b64decode(body, validate=True) for body in bodies)
    if any(base64.b64encode(raw) != body for raw, body in zip(found, bodies, strict=True)):
        raise ValueError("base64 not canonical")
    return found


@lru_cache(maxsize=1024)
def read(raw: bytes) -> Certificate:
    """Read a certificate.

    Raises:
        ValueError: it is no certificate in DER, or is larger than any genuine one.
    """
    if len(raw) > MAX_CERTIFICATE:
        raise ValueError("certificate size")
    signed = _signed(raw)
    fields = der.children(der.only(signed.body, der.SEQUENCE))
    if len(fields) != 8 or fields[0].raw != b"\xa0\x03\x02\x01\x02" or fields[7].tag != 0xA3:
        raise ValueError("certificate fields")
    _, serial, algorithm, issuer, validity, subject, public_key, extensions = fields
    if algorithm.raw != signed.algorithm:
        raise ValueError("the algorithms differ")
    not_before, not_after = (der.time(entry) for entry in der.children(validity))
    for name in (issuer, subject):
        _attributes(name.raw)
    known = _extensions(extensions.body)
    return Certificate(
        fingerprint=sha256(raw).hexdigest(),
        signed=signed,
        serial=der.integer(serial),
        issuer=issuer.raw,
        subject=subject.raw,
        not_before=not_before,
        not_after=not_after,
        public_key=der.expect(public_key, der.SEQUENCE).raw,
        extensions=known,
        authorities_below=_authorities_below(known),
    )


@lru_cache(maxsize=64)
def read_revocations(raw: bytes) -> RevocationList:
    """Read a revocation list (RFC 5280, section 5.1); a delta or partial list is refused.

    Raises:
        ValueError: it is no complete list in DER with a next update, or is too large.
    """
    if len(raw) > MAX_REVOCATION_LIST:
        raise ValueError("revocation list size")
    signed = _signed(raw)
    fields = der.children(der.only(signed.body, der.SEQUENCE))
    if len(fields) < 5 or der.integer(fields[0]) != 1 or fields[1].raw != signed.algorithm:
        raise ValueError("revocation list fields")
    rest = fields[5:]
    revoked = der.children(rest.pop(0)) if rest and rest[0].tag == der.SEQUENCE else []
    extensions = _extensions(rest.pop(0).body) if rest and rest[0].tag == 0xA0 else {}
    if rest or any(entry.critical for entry in extensions.values()):
        raise ValueError("revocation list extensions")
    return RevocationList(
        signed=signed,
        issuer=der.expect(fields[2], der.SEQUENCE).raw,
        this_update=der.time(fields[3]),
        next_update=der.time(fields[4]),
        serials=frozenset(_revoked_serial(entry) for entry in revoked),
    )


def read_public_key(raw: bytes) -> object:
    """A key from its SubjectPublicKeyInfo.

    Raises:
        ValueError: it is no key, or one of a kind that is not supported.
    """
    try:
        return load_der_public_key(raw)
    except UnsupportedAlgorithm as error:
        raise ValueError("unsupported key") from error


@lru_cache(maxsize=4096)
def signed_by(signed: Signed, public_key: bytes) -> bool:
    """Whether the key (SubjectPublicKeyInfo) made this signature, by one of the known algorithms.

    Known are RSA-PSS of 4096 bits and ECDSA on P-384, both with SHA-384.
    """
    digest = hashes.SHA384()
    try:
        key = read_public_key(public_key)
        if isinstance(key, rsa.RSAPublicKey) and signed.algorithm in RSA_PSS_SHA384:
            if key.key_size != 4096:
                return False
            pss = padding.PSS(padding.MGF1(digest), 48)
            key.verify(signed.signature, signed.body, pss, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and signed.algorithm in ECDSA_SHA384:
            if not isinstance(key.curve, ec.SECP384R1):
                return False
            key.verify(signed.signature, signed.body, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True


def forget() -> None:
    """Forget what was read and which signatures were seen to hold; for measurements."""
    for remembered in (read, read_revocations, signed_by, _attributes):
        remembered.cache_clear()


def _signed(raw: bytes) -> Signed:
    body, algorithm, signature = der.children(der.only(raw, der.SEQUENCE))
    return Signed(body.raw, der.expect(algorithm, der.SEQUENCE).raw, der.bits(signature))


def _extensions(raw: bytes) -> dict[str, Extension]:
    found: dict[str, Extension] = {}
    for entry in der.children(der.only(raw, der.SEQUENCE)):
        name, *critical, value = der.children(entry)
        dotted = der.object_identifier(name)
        if dotted in found or len(critical) > 1 or (critical and not der.boolean(critical[0])):
            raise ValueError("extension")
        found[dotted] = Extension(bool(critical), der.expect(value, der.OCTETS).body)
    return found


@lru_cache(maxsize=1024)
def _attributes(name: bytes) -> tuple[tuple[str, str], ...]:
    found = []
    for group in der.children(der.only(name, der.SEQUENCE)):
        for attribute in der.children(group, der.SET):
            kind, text = der.children(attribute)
            found.append((der.object_identifier(kind), text.body.decode("utf-8")))
    return tuple(found)


def _authorities_below(extensions: Mapping[str, Extension]) -> int:
    """How many authorities may stand under this one; -1 if it is none or may not sign."""
    basic, usage = extensions.get(BASIC_CONSTRAINTS), extensions.get(KEY_USAGE)
    if basic is None or usage is None:
        return -1
    constraints = der.children(der.only(basic.value, der.SEQUENCE))
    uses = der.only(usage.value, der.BIT_STRING).body
    if not constraints or not der.boolean(constraints[0]) or len(uses) < 2 or not uses[1] & 0x04:
        return -1
    return der.integer(constraints[1]) if len(constraints) > 1 else UNLIMITED


def _revoked_serial(entry: der.Element) -> int:
    serial, revoked_at, *_ = der.children(entry)
    der.time(revoked_at)
    return der.integer(serial)
