"""Who signs a sealed model: Ed25519 and ML-DSA-65 together, both always required.

One scheme guards against a break of the other. Both sign ``LABEL ‖ manifest``, so that a signature
made for anything else never fits; ML-DSA is given the label as its context too. Which public
signers count is decided by the caller's ``Trust`` alone: nothing in a folder can add one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from strongroom.artifact.reasons import refuse
from strongroom.artifact.secret_access import TOKEN, SecretAccess

LABEL = b"strongroom sealed-model v1 manifest\x00"
_CONTEXT = LABEL[:-1]
_SEED_BYTES = 32
_ED25519_BYTES = 32
_MLDSA65_BYTES = 1952


class Signatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``signatures.json``: the signer's fingerprint and its two signatures."""

    signer: str
    ed25519: bytes | None = None
    ml_dsa_65: bytes | None = None


@dataclass(frozen=True, slots=True)
class PublicSigner:
    """A signer that can be trusted: raw Ed25519 (32 bytes) and ML-DSA-65 (1,952) public keys."""

    ed25519: bytes
    ml_dsa_65: bytes

    @classmethod
    def decode(cls, text: str) -> PublicSigner:
        """From base64 of both keys in a row; ``artifact.bad_signer`` if it is not that."""
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise refuse("artifact.bad_signer") from None
        if len(raw) != _ED25519_BYTES + _MLDSA65_BYTES:
            raise refuse("artifact.bad_signer")
        return cls(raw[:_ED25519_BYTES], raw[_ED25519_BYTES:])

    def encode(self) -> str:
        """Base64 of ``ed25519 ‖ ml-dsa-65``."""
        return base64.b64encode(self.ed25519 + self.ml_dsa_65).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """First 32 hex digits of SHA-256 over both keys."""
        return hashlib.sha256(self.ed25519 + self.ml_dsa_65).hexdigest()[:32]

    def verify(self, manifest: bytes, signatures: Signatures) -> None:
        """Both signatures fit, or ``artifact.signature_missing`` / ``signature_invalid``."""
        if signatures.ed25519 is None:
            raise refuse("artifact.signature_missing", scheme="Ed25519")
        if signatures.ml_dsa_65 is None:
            raise refuse("artifact.signature_missing", scheme="ML-DSA-65")
        message = LABEL + manifest
        try:
            Ed25519PublicKey.from_public_bytes(self.ed25519).verify(signatures.ed25519, message)
        except (InvalidSignature, ValueError):
            raise refuse("artifact.signature_invalid", scheme="Ed25519") from None
        try:
            key = MLDSA65PublicKey.from_public_bytes(self.ml_dsa_65)
            key.verify(signatures.ml_dsa_65, message, _CONTEXT)
        except (InvalidSignature, ValueError):
            raise refuse("artifact.signature_invalid", scheme="ML-DSA-65") from None


class SigningKey:
    """The owner's signing key: two seeds of 32 bytes. Never shown, never pickled."""

    __slots__ = ("_ed25519", "_ml_dsa_65")

    def __init__(self, ed25519: Ed25519PrivateKey, ml_dsa_65: MLDSA65PrivateKey) -> None:
        self._ed25519 = ed25519
        self._ml_dsa_65 = ml_dsa_65

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key from the operating system's generator."""
        return cls.from_seeds(os.urandom(2 * _SEED_BYTES))

    @classmethod
    def from_seeds(cls, seeds: bytes) -> SigningKey:
        """From ``ed25519 seed ‖ ml-dsa-65 seed`` (64 bytes)."""
        if len(seeds) != 2 * _SEED_BYTES:
            raise refuse("artifact.bad_signer")
        return cls(
            Ed25519PrivateKey.from_private_bytes(seeds[:_SEED_BYTES]),
            MLDSA65PrivateKey.from_seed_bytes(seeds[_SEED_BYTES:]),
        )

    def to_seeds(self, token: SecretAccess) -> bytes:
        """The 64 secret bytes, for holders of ``secret_access.TOKEN`` only."""
        if token is not TOKEN:
            raise refuse("artifact.bad_argument", name="token", problem="not the access token")
        return self._ed25519.private_bytes_raw() + self._ml_dsa_65.private_bytes_raw()

    @property
    def public(self) -> PublicSigner:
        """What others need to verify."""
        return PublicSigner(
            self._ed25519.public_key().public_bytes_raw(),
            self._ml_dsa_65.public_key().public_bytes_raw(),
        )

    def sign(self, manifest: bytes) -> Signatures:
        """Both signatures over the manifest's exact bytes."""
        message = LABEL + manifest
        return Signatures(
            signer=self.public.fingerprint,
            ed25519=self._ed25519.sign(message),
            ml_dsa_65=self._ml_dsa_65.sign(message, _CONTEXT),
        )

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.fingerprint})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a SigningKey cannot be pickled")
