"""Certificate chains: from the key that signed to a pinned NVIDIA root.

All of NVIDIA's chains here are ECDSA P-384 with SHA-384; anything else is refused. The root is
recognised by the SHA-256 of its DER form, so that its own signature means nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.attest import certificates, der
from strongroom.attest.certificates import BASIC_CONSTRAINTS, ECDSA_SHA384, KEY_USAGE, Certificate
from strongroom.attest.interface import Checks, refusal
from strongroom.attest.nvidia.reasons import REASONS

MAX_TEXT = 16 * 1024
DIGITAL_SIGNATURE = 0x80


@dataclass(frozen=True, slots=True)
class Link:
    """A certificate (``raw`` is its DER form), its key, and whether that may sign evidence."""

    raw: bytes
    certificate: Certificate
    key: ec.EllipticCurvePublicKey
    may_sign: bool


def read_pem(text: bytes) -> list[Link]:
    """The certificates of a PEM text that holds nothing else, in order.

    Each body must be the canonical base64 of its DER form; only white space may vary.

    Raises:
        EvidenceRefused: ``attest.nvidia_certificate``.
    """
    try:
        if len(text) > MAX_TEXT:
            raise ValueError("size")
        return [_read(raw) for raw in certificates.read_pem(text)]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refusal(REASONS, "attest.nvidia_certificate") from error


def read_base64(body: str) -> Link:
    """A certificate from its canonical base64, in which white space may stand.

    Raises:
        EvidenceRefused: ``attest.nvidia_certificate``.
    """
    text = "".join(body.split())
    try:
        raw = base64.b64decode(text, validate=True)
        if base64.b64encode(raw).decode("ascii") != text:
            raise ValueError("not canonical")
        return _read(raw)
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise refusal(REASONS, "attest.nvidia_certificate") from error


def _read(raw: bytes) -> Link:
    certificate = certificates.read(raw)
    key = load_der_public_key(certificate.public_key)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError("not P-384")
    if certificate.signed.algorithm not in ECDSA_SHA384:
        raise ValueError("not ECDSA with SHA-384")
    usage = certificate.extensions.get(KEY_USAGE)
    bits = der.only(usage.value, der.BIT_STRING).body if usage is not None else b""
    no_authority = certificate.authorities_below < 0 and not _says_authority(certificate)
    signs = len(bits) > 1 and bool(bits[1] & DIGITAL_SIGNATURE)
    return Link(raw, certificate, key, signs and no_authority)


def _says_authority(certificate: Certificate) -> bool:
    basic = certificate.extensions.get(BASIC_CONSTRAINTS)
    return basic is not None and der.children(der.only(basic.value, der.SEQUENCE)) != []


def trust(number: str, chain: Sequence[Link], checks: Checks, *, root: str, length: int) -> None:
    """Check that ``chain`` (signer first, root last) leads to the pinned ``root``.

    Validity in time is checked by :func:`require_current`, because it is the only part that ages.

    Args:
        number: the check's number in the caller's list; the parts are ``number`` dot 1 to 7.
        chain: the certificates, as the evidence orders them.
        checks: where the checks are noted.
        root: lower-case SHA-256 of the root's DER form.
        length: the number of certificates that NVIDIA issues for this purpose.

    Raises:
        EvidenceRefused: with the code of the check that failed.
    """
    entries = [link.certificate for link in chain]
    pinned = len(entries) > 0 and entries[-1].fingerprint == root
    checks.require(f"{number}.1", "attest.nvidia_root", pinned, root)
    checks.require(f"{number}.2", "attest.nvidia_chain_length", len(chain) == length)
    links = list(pairwise(entries))
    checks.require(
        f"{number}.3",
        "attest.nvidia_chain_names",
        all(lower.issuer == upper.subject for lower, upper in links),
    )
    checks.require(
        f"{number}.4",
        "attest.nvidia_authority",
        all(upper.may_issue(below) for below, upper in enumerate(entries[1:])),
    )
    checks.require(f"{number}.5", "attest.nvidia_signer", chain[0].may_sign)
    checks.require(
        f"{number}.6",
        "attest.nvidia_critical",
        all(entry.understood(BASIC_CONSTRAINTS, KEY_USAGE) for entry in entries),
    )
    checks.require(
        f"{number}.7",
        "attest.nvidia_chain_signature",
        all(certificates.signed_by(lower.signed, upper.public_key) for lower, upper in links),
        entries[0].common_name,
    )


def require_current(
    number: str,
    entries: Sequence[Certificate],
    checks: Checks,
    *,
    now: int,
    revoked: frozenset[str],
) -> None:
    """Check that a chain holds at ``now`` and that the owner has not struck it off.

    Raises:
        EvidenceRefused: ``attest.nvidia_validity`` or ``attest.nvidia_revoked``.
    """
    valid = all(entry.valid_at(now) for entry in entries)
    checks.require(f"{number}.1", "attest.nvidia_validity", valid)
    listed = revoked.isdisjoint(entry.fingerprint for entry in entries)
    checks.require(f"{number}.2", "attest.nvidia_revoked", listed)
