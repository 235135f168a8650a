"""Establish whose attestation key (AK) signed: four ways, of which a quote needs one.

A quote is only as good as the knowledge that its key lives in a TPM and cannot sign anything
else. That comes from one of:

 A. **pinned**: the owner recorded the key on that machine (A.1).
 B. **certificate**: a manufacturer's or platform's certificate for the AK itself, leading to a
    root that the owner pinned (B.1 to B.5).
 C. **credential**: the AK's public area says that it is a restricted signing key which never
    leaves its TPM (C.1, C.2); the endorsement key's certificate leads to a pinned root (B.1 to
    B.6); and the TPM opened a credential made for exactly both keys (C.3).
 D. **runtime**: a confidential VM's hardware report vouches for the key (Azure); the verifier of
    that report makes the :class:`AttestationKey` itself.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from strongroom.attest import certificates
from strongroom.attest.interface import CertificateDates, Checks
from strongroom.attest.tpm.expectations import Credential
from strongroom.attest.tpm.wire import SHA256, read_public

Kind = TypeVar("Kind", bound=x509.ExtensionType)
# fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign; and not decrypt.
REQUIRED = 0x00000002 | 0x00000010 | 0x00000020 | 0x00010000 | 0x00040000
FORBIDDEN = 0x00020000
EK_PURPOSE = x509.ObjectIdentifier("2.23.133.8.1")
AK_PURPOSE = x509.ObjectIdentifier("2.23.133.8.3")
MAX_CHAIN = 6
MIN_SECRET = 16
MAX_CERTIFICATE = 16 * 1024
STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
# What the general library raises, sometimes only when a part is looked at.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
# What a manufacturer marks critical and this verifier understands or does not need.
UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """A key that may sign quotes, and why.

    ``public`` is its SubjectPublicKeyInfo in DER, ``trust`` the way of the module's list,
    ``holder`` what identifies the machine: the SHA-256 of the endorsement or attestation key.
    """

    public: bytes
    trust: Literal["pinned", "certificate", "credential", "runtime"]
    holder: str
    certificates: tuple[CertificateDates, ...] = ()


def pinned(public: bytes, pins: frozenset[str], checks: Checks) -> AttestationKey:
    """Way A. ``public`` is a SubjectPublicKeyInfo in DER.

    Raises:
        EvidenceRefused: ``attest.tpm_ak_pinned``.
    """
    digest = hashlib.sha256(public).hexdigest()
    checks.require("A.1", "attest.tpm_ak_pinned", digest in pins, digest)
    return AttestationKey(public, "pinned", digest)


def by_certificate(
    chain: Sequence[bytes], roots: frozenset[str], checks: Checks, *, now: int
) -> AttestationKey:
    """Way B. ``chain`` is DER, the AK's certificate first, the root last.

    Raises:
        EvidenceRefused: checks B.1 to B.5.
    """
    public, dates = _certified(chain, roots, checks, now=now, purpose=AK_PURPOSE)
    return AttestationKey(public, "certificate", hashlib.sha256(public).hexdigest(), dates)


def by_credential(
    public_area: bytes,
    chain: Sequence[bytes],
    roots: frozenset[str],
    checks: Checks,
    *,
    now: int,
    credential: Credential | None,
    answer: bytes,
) -> AttestationKey:
    """Way C.

    Args:
        public_area: the AK's TPMT_PUBLIC.
        chain: DER, the endorsement key's certificate first, the root last.
        credential: what this verifier hid, and for which two keys; see :mod:`.credential`.
        answer: what the machine says was inside.

    Raises:
        EvidenceRefused: checks B.1 to B.5 and C.1 to C.3.
    """
    area = read_public(public_area)
    checks.require("C.1", "attest.tpm_ak_form", area is not None and area.name_algorithm == SHA256)
    attributes = area.attributes if area is not None else 0
    checks.require(
        "C.2",
        "attest.tpm_ak_attributes",
        attributes & REQUIRED == REQUIRED and not attributes & FORBIDDEN,
        f"{attributes:#010x}",
    )
    ek, dates = _certified(chain, roots, checks, now=now, purpose=EK_PURPOSE)
    holder = hashlib.sha256(ek).hexdigest()
    checks.require(
        "C.3",
        "attest.tpm_credential",
        credential is not None
        and len(credential.secret) >= 2 * MIN_SECRET
        and hmac.compare_digest(credential.secret.lower().encode(), answer.hex().encode())
        and credential.ak_name.lower() == name_of(public_area).hex()
        and credential.ek.lower() == holder,
    )
    public = area.key if area is not None else b""
    return AttestationKey(public, "credential", holder, dates)


def name_of(public_area: bytes) -> bytes:
    """The name of an object whose name algorithm is SHA-256 (part 1, section 16)."""
    return SHA256.to_bytes(2, "big") + hashlib.sha256(public_area).digest()


def _certified(
    chain: Sequence[bytes],
    roots: frozenset[str],
    checks: Checks,
    *,
    now: int,
    purpose: x509.ObjectIdentifier,
) -> tuple[bytes, tuple[CertificateDates, ...]]:
    """The key that a chain to a pinned root certifies for ``purpose``, and the chain's dates."""
    found = _read(chain)
    checks.require("B.1", "attest.tpm_certificate", len(found) > 0)
    root = found[-1].fingerprint(hashes.SHA256()).hex()
    checks.require("B.2", "attest.tpm_root", root in roots, root)
    checks.require("B.3", "attest.tpm_chain", _is_chain(found))
    leaf = found[0]
    checks.require("B.4", "attest.tpm_purpose", _is_for(leaf, purpose))
    dates = tuple(_dates(certificate) for certificate in found)
    current = all(entry.not_before <= now <= entry.not_after for entry in dates)
    checks.require("B.5", "attest.tpm_validity", current)
    public = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public, dates


def _read(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """The certificates, or none at all if one cannot be read or is not understood."""
    if len(chain) > MAX_CHAIN or any(len(raw) > MAX_CERTIFICATE for raw in chain):
        return []
    try:
        # The general library also takes some that are not DER; the strict reader does not.
        for raw in chain:
            certificates.read(raw)
        found = [x509.load_der_x509_certificate(raw) for raw in chain]
        extensions = [entry for certificate in found for entry in certificate.extensions]
        for certificate in found:
            certificate.public_key()
            _dates(certificate)
    except UNREADABLE:
        return []
    understood = all(entry.oid in UNDERSTOOD for entry in extensions if entry.critical)
    return found if understood else []


def _is_chain(chain: Sequence[x509.Certificate]) -> bool:
    """Whether each is signed by the next, and each but the first may sign."""
    for below, (lower, upper) in enumerate(pairwise(chain)):
        constraints = _extension(upper, x509.BasicConstraints)
        usage = _extension(upper, x509.KeyUsage)
        if constraints is None or not constraints.ca or usage is None or not usage.key_cert_sign:
            return False
        if constraints.path_length is not None and constraints.path_length < below:
            return False
        try:
            if not isinstance(lower.signature_hash_algorithm, STRONG):
                return False
            lower.verify_directly_issued_by(upper)
        except (InvalidSignature, *UNREADABLE):
            return False
    return True


def _is_for(leaf: x509.Certificate, purpose: x509.ObjectIdentifier) -> bool:
    constraints = _extension(leaf, x509.BasicConstraints)
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    no_authority = constraints is None or not constraints.ca
    return no_authority and purposes is not None and purpose in purposes


def _extension(certificate: x509.Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _dates(certificate: x509.Certificate) -> CertificateDates:
    return CertificateDates(
        certificate.subject.rfc4514_string(),
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )
