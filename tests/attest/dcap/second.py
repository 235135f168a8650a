"""A second reader of Intel's quotes, for comparison: ``cryptography`` and offsets, no shared code.

It proves less than the verifier (no collateral, no dates, no revocation), but it proves by other
code that a capture is genuine: the PCK chain is signed up to Intel's root, the PCK key signed the
QE's report, which binds the attestation key, which signed the quote.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def genuine(quote: bytes, root_der: bytes) -> bool:
    """Whether every signature from ``root_der`` to the quote holds."""
    version = int.from_bytes(quote[:2], "little")
    size = {3: 48 + 384, 4: 48 + 584, 5: 54 + 648}[version]
    auth = quote[size + 4 :]
    at = 128 + (6 if version > 3 else 0)
    report, signature = auth[at : at + 384], auth[at + 384 : at + 448]
    extra = int.from_bytes(auth[at + 448 : at + 450], "little")
    qe_auth = auth[at + 450 : at + 450 + extra]
    start = at + 450 + extra + 6
    length = int.from_bytes(auth[start - 4 : start], "little")
    leaf, authority, root = x509.load_pem_x509_certificates(
        auth[start : start + length].rstrip(b"\0")
    )
    try:
        leaf.verify_directly_issued_by(authority)
        authority.verify_directly_issued_by(root)
        root.verify_directly_issued_by(x509.load_der_x509_certificate(root_der))
        pck = leaf.public_key()
        assert isinstance(pck, ec.EllipticCurvePublicKey)
        pck.verify(_der(signature), report, ec.ECDSA(hashes.SHA256()))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + auth[64:128])
        key.verify(_der(auth[:64]), quote[:size], ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return report[320:352] == hashlib.sha256(auth[64:128] + qe_auth).digest()


def _der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
