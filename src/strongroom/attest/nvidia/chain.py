"""Certificate chains: from the key that signed to a pinned NVIDIA root.

All of NVIDIA's chains here are ECDSA P-384 with SHA-384; anything else is refused. The root is
recognised by the SHA-256 of its DER form, so that its own signature means nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from strongroom.attest.interface import CertificateDates, Checks, refusal
from strongroom.attest.nvidia.reasons import REASONS

MAX_TEXT = 16 * 1024
ECDSA_SHA384 = SignatureAlgorithmOID.ECDSA_WITH_SHA384
UNDERSTOOD = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of a chain, parsed once; ``der`` is what was signed and is pinned."""

    der: bytes
    certificate: x509.Certificate
    key: ec.EllipticCurvePublicKey
    fingerprint: str
    path_length: int | None
    is_authority: bool
    may_issue: bool
    may_sign: bool
    critical_understood: bool

    @property
    def dates(self) -> CertificateDates:
        """Its subject and validity."""
        return CertificateDates(
            self.certificate.subject.rfc4514_string(),
            int(self.certificate.not_valid_before_utc.timestamp()),
            int(self.certificate.not_valid_after_utc.timestamp()),
        )


def read_pem(text: bytes) -> list[Certificate]:
    """The certificates of a PEM text that holds nothing else, in order.

    Each body must be the canonical base64 of its DER form; only white space may vary.

    Raises:
        AttestationRefused: ``attest.nvidia_certificate``.
    """
    decoded = text[: MAX_TEXT + 1].decode("ascii", "replace").lstrip()
    bodies = _PEM.findall(decoded)
    if len(decoded) > MAX_TEXT or _PEM.sub("", decoded):
        raise refusal(REASONS, "attest.nvidia_certificate")
    return [read_base64(body) for body in bodies]


def read_base64(body: str) -> Certificate:
    """A certificate from its base64, in which white space may stand.

    Raises:
        AttestationRefused: ``attest.nvidia_certificate``.
    """
    text = "".join(body.split())
    try:
        der = base64.b64decode(text, validate=True)
        if base64.b64encode(der).decode("ascii") != text:
            raise ValueError("not canonical")
        return _read(der)
    except (ValueError, TypeError, binascii.Error, x509.DuplicateExtension) as error:
        raise refusal(REASONS, "attest.nvidia_certificate") from error


def _read(der: bytes) -> Certificate:
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError("not P-384")
    if certificate.signature_algorithm_oid != ECDSA_SHA384:
        raise ValueError("not ECDSA with SHA-384")
    extensions = {entry.oid: entry for entry in certificate.extensions}
    basic = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    constraints = basic.value if basic is not None else x509.BasicConstraints(False, None)
    if not isinstance(constraints, x509.BasicConstraints):
        raise ValueError("basic constraints")
    uses = usage.value if usage is not None and isinstance(usage.value, x509.KeyUsage) else None
    return Certificate(
        der=der,
        certificate=certificate,
        key=key,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        path_length=constraints.path_length,
        is_authority=constraints.ca,
        may_issue=constraints.ca and uses is not None and uses.key_cert_sign,
        may_sign=not constraints.ca and uses is not None and uses.digital_signature,
        critical_understood=all(e.oid in UNDERSTOOD for e in extensions.values() if e.critical),
    )


def trust(
    number: str, chain: Sequence[Certificate], checks: Checks, *, root: str, length: int
) -> None:
    """Check that ``chain`` (signer first, root last) leads to the pinned ``root``.

    Validity in time is checked by :func:`require_current`, because it is the only part that ages.

    Args:
        number: the check's number in the caller's list; the parts are ``number`` dot 1 to 7.
        chain: the certificates, as the evidence orders them.
        checks: where the checks are noted.
        root: lower-case SHA-256 of the root's DER form.
        length: the number of certificates that NVIDIA issues for this purpose.

    Raises:
        AttestationRefused: with the code of the check that failed.
    """
    pinned = len(chain) > 0 and chain[-1].fingerprint == root
    checks.require(f"{number}.1", "attest.nvidia_root", pinned, root)
    checks.require(f"{number}.2", "attest.nvidia_chain_length", len(chain) == length)
    links = list(pairwise(chain))
    checks.require(
        f"{number}.3",
        "attest.nvidia_chain_names",
        all(lower.certificate.issuer == upper.certificate.subject for lower, upper in links),
    )
    checks.require(
        f"{number}.4",
        "attest.nvidia_authority",
        all(
            upper.may_issue and (upper.path_length is None or upper.path_length >= below)
            for below, upper in enumerate(chain[1:])
        ),
    )
    checks.require(f"{number}.5", "attest.nvidia_signer", chain[0].may_sign)
    checks.require(
        f"{number}.6",
        "attest.nvidia_critical",
        all(certificate.critical_understood for certificate in chain),
    )
    checks.require(
        f"{number}.7",
        "attest.nvidia_chain_signature",
        all(_issued(lower.der, upper.der) for lower, upper in links),
        chain[0].certificate.subject.rfc4514_string(),
    )


def require_current(
    number: str,
    dates: Sequence[CertificateDates],
    fingerprints: Sequence[str],
    checks: Checks,
    *,
    now: int,
    revoked: frozenset[str],
) -> None:
    """Check that a chain holds at ``now`` and that the owner has not struck it off.

    Raises:
        AttestationRefused: ``attest.nvidia_validity`` or ``attest.nvidia_revoked``.
    """
    checks.require(
        f"{number}.1",
        "attest.nvidia_validity",
        all(entry.not_before <= now <= entry.not_after for entry in dates),
    )
    checks.require(f"{number}.2", "attest.nvidia_revoked", revoked.isdisjoint(fingerprints))


@lru_cache(maxsize=256)
def _issued(lower: bytes, upper: bytes) -> bool:
    """Whether the key of ``upper`` signed ``lower``; remembered, because it never changes."""
    certificate = x509.load_der_x509_certificate(lower)
    key = x509.load_der_x509_certificate(upper).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(
            certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA384())
        )
    except InvalidSignature:
        return False
    return True


def forget() -> None:
    """Forget which certificates were seen to be signed; for measurements."""
    _issued.cache_clear()
