"""A resource as a JWE in flattened JSON (RFC 7516, section 7.2.2), encrypted to a guest's key.

``ECDH-ES+A256KW`` (RFC 7518, section 4.6) on the key's own curve, or ``RSA-OAEP-256`` (section
4.3); the content by ``A256GCM``. The ephemeral key stands in the protected header, and so under
the tag, which is where guests look for it.
"""

from __future__ import annotations

import os
import struct
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from strongroom.release.ear.token_key import base64url
from strongroom.release.kbs.tee_key import CURVES, ECDH, OAEP, TeeKey

_KEY_BYTES: Final = 32
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def encrypt(payload: bytes | bytearray | memoryview, to: TeeKey) -> dict[str, str]:
    """The members of a flattened JWE: protected, encrypted_key, iv, ciphertext, tag."""
    content_key = os.urandom(_KEY_BYTES)
    if isinstance(to, ec.EllipticCurvePublicKey):
        header, encrypted_key = _agree(content_key, to)
    else:
        header, encrypted_key = {"alg": OAEP}, to.encrypt(content_key, _OAEP)
    protected = base64url(msgspec.json.encode({**header, "enc": "A256GCM"}, order="sorted"))
    iv = os.urandom(_IV_BYTES)
    sealed = AESGCM(content_key).encrypt(iv, payload, protected.encode("ascii"))
    return {
        "protected": protected,
        "encrypted_key": base64url(encrypted_key),
        "iv": base64url(iv),
        "ciphertext": base64url(sealed[:-_TAG_BYTES]),
        "tag": base64url(sealed[-_TAG_BYTES:]),
    }


def _agree(content_key: bytes, to: ec.EllipticCurvePublicKey) -> tuple[dict[str, Any], bytes]:
    name = next(name for name, (curve, _) in CURVES.items() if curve.name == to.curve.name)
    curve, size = CURVES[name]
    ephemeral = ec.generate_private_key(curve)
    algorithm = ECDH.encode("ascii")
    # RFC 7518, section 4.6.2: AlgorithmID, PartyUInfo, PartyVInfo, SuppPubInfo.
    info = struct.pack(">I", len(algorithm)) + algorithm + bytes(8)
    info += struct.pack(">I", 8 * _KEY_BYTES)
    wrapping_key = ConcatKDFHash(hashes.SHA256(), _KEY_BYTES, info).derive(
        ephemeral.exchange(ec.ECDH(), to)
    )
    point = ephemeral.public_key().public_numbers()
    header = {
        "alg": ECDH,
        "epk": {
            "crv": name,
            "kty": "EC",
            "x": base64url(point.x.to_bytes(size, "big")),
            "y": base64url(point.y.to_bytes(size, "big")),
        },
    }
    return header, aes_key_wrap(wrapping_key, content_key)
