"""The file keyring: key-encryption keys in one private file, the embedded default.

1. The file holds one or more 256-bit key-encryption keys (KEKs); ``active`` names the one that
   wraps. ``rotate`` adds a new active one; the older ones stay, to unwrap what they wrapped.
2. With a passphrase, each KEK is sealed with AES-256-GCM under Argon2id(passphrase, salt); without
   one, the KEKs lie in the file as they are, and its permissions are all that protects them.
3. A KEK's id is a hash of it, so that a KEK swapped, altered, or opened under a colliding GCM key
   is noticed.
4. A stanza is ``envelope.seal`` under the active KEK, bound to the KEK's id and to the context.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.errors import KeyRefused
from strongroom.keys import envelope, keyring_file, private_file, stanza
from strongroom.keys.interface import KeyWrapper
from strongroom.keys.keyring_file import KEK_BYTES, Document, Entry, Passphrase, Plain
from strongroom.keys.wiping import wipe

_LABEL = b"strongroom keyring wrap v1"
_KEK_LABEL = b"strongroom keyring kek v1"
_ID_LABEL = b"strongroom keyring key id v1\0"


class FileKeyring(KeyWrapper):
    """Wraps and unwraps with the KEKs of one keyring file, which it holds in memory once open.

    What it protects and what not is said in ``docs/keys.md``. Close it (or use it as a context
    manager) to overwrite the KEKs.
    """

    kind = "keyring"

    def __init__(self, path: Path, document: Document, master: bytearray | None) -> None:
        """For ``create`` and ``open``; takes over ``master``."""
        self._path = path
        self._document = document
        self._master = master
        self._keks: dict[str, bytearray] = {}
        for entry in document.keys:
            self._keks[entry.id] = _open_entry(entry, master)

    @classmethod
    def create(cls, path: Path | str, passphrase: bytes | None) -> FileKeyring:
        """A new keyring file with one fresh KEK; refuses to overwrite anything.

        Args:
            path: where the file goes (mode 0600).
            passphrase: at least ``keyring_file.MIN_PASSPHRASE_BYTES`` bytes, or None for a key
                file whose permissions are its only protection.

        Raises:
            KeyRefused: ``keys.weak_passphrase``, ``keys.file_exists``, ``keys.file_unwritable``.
        """
        protection: Passphrase | Plain = Plain()
        master = None
        if passphrase is not None:
            protection = keyring_file.fresh_protection(passphrase)
            master = protection.derive(passphrase)
        entry = _new_entry(master)
        document = Document(protection=protection, active=entry.id, keys=(entry,))
        private_file.write_document(Path(path), document)
        return cls(Path(path), document, master)

    @classmethod
    def open(cls, path: Path | str, passphrase: bytes | None) -> FileKeyring:
        """Open an existing keyring.

        Raises:
            KeyRefused: the codes of ``private_file.read_private``, ``keys.keyring_malformed``,
                ``keys.passphrase_missing``, ``keys.passphrase_unexpected``,
                ``keys.wrong_passphrase``.
        """
        document = keyring_file.load(Path(path))
        master = _master_for(document, passphrase)
        return cls(Path(path), document, master)

    @property
    def key_id(self) -> str:
        """The active KEK's id: 32 hex digits."""
        return self._document.active

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Every KEK's id, oldest first."""
        return tuple(entry.id for entry in self._document.keys)

    def holds(self, recipient: Recipient) -> bool:
        """Whether any of the KEKs, active or older, is the one that the stanza names."""
        return recipient.kind == self.kind and recipient.key_id in self.key_ids

    def wrap(self, key: DataKey, context: bytes) -> Recipient:
        """Wrap under the active KEK."""
        bound = envelope.binding(_LABEL, self.key_id, context)
        sealed = envelope.seal(self._kek(self.key_id), key, bound)
        return stanza.make(self.kind, self.key_id, sealed, context)

    def unwrap(self, recipient: Recipient, context: bytes) -> DataKey:
        """Unwrap with whichever KEK the stanza names.

        Raises:
            KeyRefused: the codes of ``stanza.check``, ``keys.altered``, ``keys.closed``.
        """
        sealed = stanza.check(recipient, self.kind, self.key_ids, context)
        bound = envelope.binding(_LABEL, recipient.key_id, context)
        return envelope.unseal(self._kek(recipient.key_id), sealed, bound)

    def rotate(self) -> str:
        """Add a fresh KEK, make it the active one, and return its id.

        Two processes that rotate at once both succeed, one after the other.

        Raises:
            KeyRefused: ``keys.keyring_changed`` if the file is not the one that was opened.
        """
        self._kek(self.key_id)
        with private_file.locked_folder(self._path):
            current = self._reload()
            entry = _new_entry(self._master)
            grown = Document(current.protection, entry.id, (*current.keys, entry))
            private_file.write_document(self._path, grown, replace=True)
        self._document = grown
        for added in grown.keys:
            if added.id not in self._keks:
                self._keks[added.id] = _open_entry(added, self._master)
        return entry.id

    def close(self) -> None:
        """Overwrite the KEKs. Idempotent; wrapping and unwrapping are refused afterwards."""
        for kek in self._keks.values():
            wipe(kek)
        self._keks.clear()
        if self._master is not None:
            wipe(self._master)

    def __enter__(self) -> FileKeyring:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FileKeyring({str(self._path)!r}, key_id={self.key_id!r})"

    def _kek(self, key_id: str) -> bytearray:
        if not self._keks:
            raise stanza.closed()
        return self._keks[key_id]

    def _reload(self) -> Document:
        current = keyring_file.load(self._path)
        known = set(self.key_ids)
        if current.protection != self._document.protection or not known <= {
            entry.id for entry in current.keys
        }:
            raise KeyRefused(
                "keys.keyring_changed",
                f"{self._path} is no longer the keyring that was opened.",
                action="Open it again and repeat.",
            )
        return current


def _master_for(document: Document, passphrase: bytes | None) -> bytearray | None:
    if isinstance(document.protection, Plain):
        if passphrase is not None:
            raise KeyRefused(
                "keys.passphrase_unexpected",
                "This keyring has no passphrase, but one was given.",
                action="Check that this is the file you mean; open it without a passphrase.",
            )
        return None
    if passphrase is None:
        raise KeyRefused(
            "keys.passphrase_missing",
            "This keyring is protected by a passphrase.",
            action="Give the passphrase.",
        )
    return document.protection.derive(passphrase)


def _new_entry(master: bytearray | None) -> Entry:
    kek = bytearray(os.urandom(KEK_BYTES))
    try:
        identity = _identify(kek)
        if master is None:
            return Entry(id=identity, key=bytes(kek))
        nonce = os.urandom(envelope.NONCE_BYTES)
        return Entry(id=identity, key=nonce + AESGCM(master).encrypt(nonce, kek, _bound(identity)))
    finally:
        wipe(kek)


def _open_entry(entry: Entry, master: bytearray | None) -> bytearray:
    kek = bytearray(KEK_BYTES)
    try:
        if master is None:
            kek[:] = entry.key
        else:
            nonce, sealed = entry.key[: envelope.NONCE_BYTES], entry.key[envelope.NONCE_BYTES :]
            AESGCM(master).decrypt_into(nonce, sealed, _bound(entry.id), kek)
    except (InvalidTag, ValueError):
        raise KeyRefused(
            "keys.wrong_passphrase",
            "The passphrase does not open this keyring, or the file was altered.",
            action="Try the passphrase again; if it is right, restore the file from a copy.",
        ) from None
    if not hmac.compare_digest(_identify(kek), entry.id):
        raise keyring_file.malformed("a key does not have the id it is listed under")
    return kek


def _identify(kek: bytearray) -> str:
    return hashlib.sha256(_ID_LABEL + kek).hexdigest()[:32]


def _bound(key_id: str) -> bytes:
    return envelope.binding(_KEK_LABEL, key_id, b"")
