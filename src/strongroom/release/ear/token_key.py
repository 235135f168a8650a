"""The P-256 key that signs EAR tokens (ES256). It signs nothing else, and opens nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from msgspec import Meta

from strongroom.errors import ConfigurationRefused
from strongroom.keys import private_file

_BYTES: Final = 32


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret: Annotated[bytes, Meta(min_length=_BYTES, max_length=_BYTES)]
    format: Literal["strongroom token key v1"] = "strongroom token key v1"

    def __repr__(self) -> str:
        return "_File()"


class TokenKey:
    """The private half. Make one with ``create``, read it with ``load``."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        numbers = private.public_key().public_numbers()
        self.jwk: Final = {
            "crv": "P-256",
            "kty": "EC",
            "x": base64url(numbers.x.to_bytes(_BYTES, "big")),
            "y": base64url(numbers.y.to_bytes(_BYTES, "big")),
        }

    @classmethod
    def create(cls, path: Path | str) -> TokenKey:
        """A fresh key in a new file of mode 0600; ``keys.file_exists`` if there is one already."""
        private = ec.generate_private_key(ec.SECP256R1())
        secret = private.private_numbers().private_value.to_bytes(_BYTES, "big")
        private_file.write_document(Path(path), _File(secret))
        return cls(private)

    @classmethod
    def load(cls, path: Path | str) -> TokenKey:
        """Read a key file; ``release.token_key_malformed`` or a code of ``read_private``."""
        malformed = ConfigurationRefused(
            "release.token_key_malformed",
            f"{path} is not a token key file.",
            action="Check the path, or make a token key and pin it where tokens are verified.",
        )
        document = private_file.read_document(Path(path), _File, malformed)
        try:
            secret = int.from_bytes(document.secret, "big")
            return cls(ec.derive_private_key(secret, ec.SECP256R1()))
        except ValueError:
            raise malformed from None

    @property
    def key_id(self) -> str:
        """The JWK's thumbprint (RFC 7638, SHA-256), base64url."""
        text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return base64url(hashlib.sha256(text.encode("ascii")).digest())

    def sign(self, message: bytes) -> bytes:
        """ES256: r ‖ s, 64 bytes (RFC 7518, section 3.4)."""
        r, s = decode_dss_signature(self._private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_BYTES, "big") + s.to_bytes(_BYTES, "big")

    def __repr__(self) -> str:
        return f"TokenKey(key_id={self.key_id!r})"


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
