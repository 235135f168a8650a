"""MLKEM768-X25519 key material: one seed, two component keys, one public encoding.

The key encapsulation is the hybrid that HPKE registers as 0x647a: both X25519 and ML-KEM-768 must
fall before a wrapped key does, so what is recorded today stays closed to a quantum computer later.

1. A private key is a 32-byte seed. SHAKE-256 expands it to 96 bytes: the 64-byte seed of the
   ML-KEM-768 key, then the 32-byte X25519 scalar (as X-Wing, draft-connolly-cfrg-xwing-kem).
2. A public key is the ML-KEM-768 encapsulation key (1,184 bytes) ‖ the X25519 point (32 bytes).
3. The suite is HPKE base mode, HKDF-SHA-384, AES-256-GCM; a ciphertext is ``enc ‖ sealed``.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.utils import Buffer

from strongroom.artifact.data_key import KEY_BYTES, DataKey
from strongroom.errors import KeyRefused
from strongroom.keys import stanza
from strongroom.keys.wiping import wipe_bytes

SuiteName = Literal["MLKEM768-X25519/HKDF-SHA384/AES-256-GCM"]
SUITE_NAME: SuiteName = "MLKEM768-X25519/HKDF-SHA384/AES-256-GCM"
SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA384, AEAD.AES_256_GCM)

SEED_BYTES = 32
_MLKEM_PUBLIC_BYTES = 1184
PUBLIC_BYTES = _MLKEM_PUBLIC_BYTES + 32
ENCAPSULATED_BYTES = 1088 + 32
OVERHEAD_BYTES = ENCAPSULATED_BYTES + 16
"""What HPKE adds to a plaintext: the encapsulated key and the tag."""


def private_key(seed: bytes | bytearray) -> tuple[MLKEM768X25519PrivateKey, bytes]:
    """The private key that ``seed`` (32 bytes) stands for, and its encoded public key."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return MLKEM768X25519PrivateKey(mlkem, x25519), public


def public_key(encoded: bytes) -> MLKEM768X25519PublicKey:
    """The public key in ``encoded`` (1,216 bytes); ``keys.bad_public_key`` if it is none."""
    try:
        if len(encoded) != PUBLIC_BYTES:
            raise ValueError
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(encoded[:_MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(encoded[_MLKEM_PUBLIC_BYTES:]),
        )
    except ValueError:
        raise bad_public_key() from None


def encrypt(plain: Buffer, encoded_public: bytes, info: bytes) -> bytes:
    """``plain`` for the holder of a public key: ``enc ‖ sealed``, bound to ``info``.

    Raises:
        KeyRefused: ``keys.bad_public_key``, also for a point of small order.
    """
    try:
        return SUITE.encrypt(plain, public_key(encoded_public), info)
    except ValueError:
        raise bad_public_key() from None


def decrypt_key(sealed: bytes, private: MLKEM768X25519PrivateKey, info: bytes) -> DataKey:
    """The data key in ``sealed``; no copy of it is left behind.

    Raises:
        KeyRefused: ``keys.altered`` if any bit, the key or ``info`` differs, or it is no data key.
    """
    if len(sealed) != KEY_BYTES + OVERHEAD_BYTES:
        raise stanza.altered()
    try:
        plain = SUITE.decrypt(sealed, private, info)
    except (InvalidTag, ValueError):
        raise stanza.altered() from None
    try:
        return DataKey(plain)
    finally:
        wipe_bytes(plain)


def fingerprint(encoded: bytes) -> str:
    """Identifier of a public key: the first 16 bytes of its SHA-256, 32 hex digits."""
    return hashlib.sha256(encoded).hexdigest()[:32]


def bad_public_key() -> KeyRefused:
    """The bytes are not a usable public key."""
    return KeyRefused(
        "keys.bad_public_key",
        "This is not a usable ML-KEM-768+X25519 public key.",
        action="Get the recipient's public key again.",
    )
