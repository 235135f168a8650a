"""The Ed25519 key with which a key-release service signs all that it sends.

Workloads pin its public half in their configuration: a rogue service must not feed them keys.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

from strongroom.errors import ConfigurationRefused, KeyRefused
from strongroom.keys import private_file
from strongroom.release.messages import Signed

_LABEL = b"strongroom release message v1\0"
PUBLIC_BYTES = 32


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seed: Annotated[bytes, Meta(min_length=32, max_length=32)]
    format: Literal["strongroom service key v1"] = "strongroom service key v1"

    def __repr__(self) -> str:
        return "_File()"


class ServiceKey:
    """The private half. Make one with ``create``, read it with ``load``."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def create(cls, path: Path | str) -> ServiceKey:
        """A fresh key in a new file of mode 0600; ``keys.file_exists`` if there is one already."""
        private = Ed25519PrivateKey.generate()
        private_file.write_document(Path(path), _File(private.private_bytes_raw()))
        return cls(private)

    @classmethod
    def load(cls, path: Path | str) -> ServiceKey:
        """Read a key file; ``release.service_key_malformed`` or a code of ``read_private``."""
        malformed = ConfigurationRefused(
            "release.service_key_malformed",
            f"{path} is not a service key file.",
            action="Check the path, or make a service key and pin it where it is used.",
        )
        document = private_file.read_document(Path(path), _File, malformed)
        return cls(Ed25519PrivateKey.from_private_bytes(document.seed))

    @property
    def key_id(self) -> str:
        """Fingerprint of the public half: 32 hex digits."""
        return fingerprint(self.public)

    def sign(self, body: bytes) -> bytes:
        """An encoded ``Signed`` message around ``body``."""
        return msgspec.json.encode(Signed(body, self._private.sign(_LABEL + body)))

    def __repr__(self) -> str:
        return f"ServiceKey(key_id={self.key_id!r})"


def verify(payload: bytes, public: bytes) -> bytes:
    """The body of a signed message, once the signature of the pinned key holds.

    Raises:
        KeyRefused: ``release.malformed_answer`` or ``release.bad_signature``.
    """
    try:
        signed = msgspec.json.decode(payload, type=Signed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeyRefused(
            "release.malformed_answer",
            "What came from key release is not a signed message.",
            action="Check that the service is the one you mean, and of this version.",
        ) from None
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signed.signature, _LABEL + signed.body)
    except (InvalidSignature, ValueError):
        raise KeyRefused(
            "release.bad_signature",
            "The answer is not signed by the key-release service that is pinned here.",
            action="Do not trust this service; if its key was replaced, pin the new one.",
        ) from None
    return signed.body


def fingerprint(public: bytes) -> str:
    """Identifier of a service's public key: the first 16 bytes of its SHA-256, 32 hex digits."""
    return hashlib.sha256(public).hexdigest()[:32]
