"""The HPKE recipient: wrap for a public key, so that sealing needs no secret of the reader's.

1. ``info`` of HPKE is the label, the recipient's key id and the context, length-prefixed.
2. The wrapped key is ``enc ‖ sealed`` of the suite in ``hpke_keys``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey
from msgspec import Meta

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.errors import KeyRefused
from strongroom.keys import hpke_keys, private_file, stanza
from strongroom.keys.envelope import binding
from strongroom.keys.interface import KeyWrapper
from strongroom.keys.wiping import wipe

_LABEL = b"strongroom hpke wrap v1"


class _RecipientFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["strongroom hpke recipient v1"]
    suite: hpke_keys.SuiteName
    public: Annotated[bytes, Meta(max_length=hpke_keys.PUBLIC_BYTES)]


class _IdentityFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["strongroom hpke identity v1"]
    suite: hpke_keys.SuiteName
    seed: Annotated[bytes, Meta(min_length=32, max_length=32)]

    def __repr__(self) -> str:
        return "_IdentityFile()"


class HpkeRecipient(KeyWrapper):
    """The public half: can wrap, and can never unwrap."""

    kind = "hpke"

    def __init__(self, public: bytes) -> None:
        """``public`` is the encoding of ``hpke_keys``; ``keys.bad_public_key`` if it is not."""
        hpke_keys.public_key(public)
        self.public = public

    @property
    def key_id(self) -> str:
        """Fingerprint of the public key: 32 hex digits."""
        return hpke_keys.fingerprint(self.public)

    def wrap(self, key: DataKey, context: bytes) -> Recipient:
        """Wrap for the holder of the private half."""
        info = binding(_LABEL, self.key_id, context)
        sealed = hpke_keys.encrypt(key.reveal(TOKEN), self.public, info)
        return stanza.make(self.kind, self.key_id, sealed, context)

    def unwrap(self, recipient: Recipient, context: bytes) -> DataKey:
        """Always refused, with ``keys.public_only``."""
        raise KeyRefused(
            "keys.public_only",
            "A public HPKE key cannot unwrap.",
            action="Use the identity file that holds the private key.",
        )

    def save(self, path: Path | str) -> None:
        """Write the public key to a new file; it is no secret, but must come unaltered."""
        content = _RecipientFile("strongroom hpke recipient v1", hpke_keys.SUITE_NAME, self.public)
        private_file.write_document(Path(path), content)
        Path(path).chmod(0o644)

    @classmethod
    def load(cls, path: Path | str) -> HpkeRecipient:
        """Read a public key file; ``keys.file_unreadable`` or ``keys.hpke_malformed``."""
        content = private_file.read_public(Path(path))
        try:
            return cls(msgspec.json.decode(content, type=_RecipientFile).public)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _malformed() from None

    def __repr__(self) -> str:
        return f"HpkeRecipient(key_id={self.key_id!r})"


class HpkeIdentity(KeyWrapper):
    """The private half: unwraps what was wrapped for its recipient, and can wrap too."""

    kind = "hpke"

    def __init__(self, seed: bytes | bytearray) -> None:
        """``seed`` is 32 secret bytes; it is copied."""
        self._seed = bytearray(seed)
        key, public = hpke_keys.private_key(self._seed)
        self._key: MLKEM768X25519PrivateKey | None = key
        self.recipient = HpkeRecipient(public)

    @classmethod
    def generate(cls) -> HpkeIdentity:
        """A fresh identity from the operating system's generator."""
        return cls(os.urandom(hpke_keys.SEED_BYTES))

    @property
    def key_id(self) -> str:
        """Fingerprint of the public key: 32 hex digits."""
        return self.recipient.key_id

    def wrap(self, key: DataKey, context: bytes) -> Recipient:
        """Wrap for this identity."""
        return self.recipient.wrap(key, context)

    def unwrap(self, recipient: Recipient, context: bytes) -> DataKey:
        """Recover the key.

        Raises:
            KeyRefused: the codes of ``stanza.check``, ``keys.altered``, ``keys.closed``.
        """
        sealed = stanza.check(recipient, self.kind, (self.key_id,), context)
        if self._key is None:
            raise stanza.closed()
        return hpke_keys.decrypt_key(sealed, self._key, binding(_LABEL, self.key_id, context))

    def save(self, path: Path | str) -> None:
        """Write the seed to a new file with mode 0600; never overwrites."""
        content = _IdentityFile(
            "strongroom hpke identity v1", hpke_keys.SUITE_NAME, bytes(self._seed)
        )
        private_file.write_document(Path(path), content)

    @classmethod
    def load(cls, path: Path | str) -> HpkeIdentity:
        """Read an identity file; ``keys.hpke_malformed`` or a code of ``read_private``."""
        return cls(private_file.read_document(Path(path), _IdentityFile, _malformed()).seed)

    def close(self) -> None:
        """Overwrite the seed and drop the private key. Idempotent."""
        wipe(self._seed)
        self._key = None

    def __repr__(self) -> str:
        return f"HpkeIdentity(key_id={self.key_id!r})"


def _malformed() -> KeyRefused:
    return KeyRefused(
        "keys.hpke_malformed",
        "The file does not have the form of an HPKE key of this kind.",
        action="Check the path: a recipient file is public, an identity file is private.",
    )
