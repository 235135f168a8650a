"""The public key that a guest made for this session, from the JWK that it sends (RFC 7517)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.release.kbs.reasons import refuse

ECDH: Final = "ECDH-ES+A256KW"
OAEP: Final = "RSA-OAEP-256"
CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, int]]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-521": (ec.SECP521R1(), 66),
}
"""Curve's name to the curve and the bytes of a coordinate."""

_RSA_BITS: Final = range(2048, 8193)
_RSA_EXPONENT: Final = 65537

TeeKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def read(jwk: Mapping[str, str]) -> TeeKey:
    """The key, if it is of a kind that resources are encrypted to.

    RSA with PKCS #1 v1.5, which the protocol still lists, is refused: its padding can be an oracle.

    Raises:
        KeyRefused: ``release.kbs_tee_key``.
    """
    try:
        if set(jwk) == {"kty", "crv", "alg", "x", "y"}:
            return _elliptic(jwk)
        if set(jwk) == {"kty", "alg", "n", "e"}:
            return _rsa(jwk)
    except (ValueError, KeyError):
        raise refuse("release.kbs_tee_key") from None
    raise refuse("release.kbs_tee_key")


def algorithm(key: TeeKey) -> str:
    """The JWE algorithm for a key."""
    return ECDH if isinstance(key, ec.EllipticCurvePublicKey) else OAEP


def _elliptic(jwk: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    if (jwk["kty"], jwk["alg"]) != ("EC", ECDH):
        raise ValueError("not for ECDH")
    curve, size = CURVES[jwk["crv"]]
    x, y = (_decode(jwk[name]) for name in ("x", "y"))
    if len(x) != size or len(y) != size:
        raise ValueError("a coordinate is too short or too long")
    # A point that is not on the curve is refused here (invalid-curve attack).
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)


def _rsa(jwk: Mapping[str, str]) -> rsa.RSAPublicKey:
    if (jwk["kty"], jwk["alg"]) != ("RSA", OAEP):
        raise ValueError("not for OAEP")
    n, e = (int.from_bytes(_decode(jwk[name]), "big") for name in ("n", "e"))
    if n.bit_length() not in _RSA_BITS or e != _RSA_EXPONENT:
        raise ValueError("a size or an exponent that nobody should use")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _decode(text: str) -> bytes:
    """Base64url without padding, in its one spelling."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != text:
        raise ValueError("not the one spelling")
    return raw
