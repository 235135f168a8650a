"""The file of the owner's signing key: two seeds, sealed under the home's passphrase if it has one.

With a passphrase: AES-256-GCM under Argon2id(passphrase, salt), as the keyring does; without one
the file's permissions are all that protects it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from strongroom.artifact.secret_access import TOKEN
from strongroom.artifact.signing import SigningKey
from strongroom.errors import KeyRefused
from strongroom.keys import private_file
from strongroom.keys.keyring_file import Passphrase, Plain, fresh_protection
from strongroom.keys.wiping import wipe

_BOUND = b"strongroom signing key v1"
_NONCE_BYTES = 12
_SEED_BYTES = 64


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["strongroom signing key v1"]
    protection: Passphrase | Plain
    seeds: Annotated[bytes, Meta(min_length=_SEED_BYTES, max_length=_SEED_BYTES + 28)]

    def __repr__(self) -> str:
        return "_File()"


def save(path: Path, key: SigningKey, passphrase: bytes | None) -> None:
    """Write ``key`` to a new file of mode 0600.

    Raises:
        KeyRefused: ``keys.weak_passphrase``, ``keys.file_exists``, ``keys.file_unwritable``.
    """
    seeds = key.to_seeds(TOKEN)
    protection: Passphrase | Plain = Plain()
    if passphrase is not None:
        protection = fresh_protection(passphrase)
        nonce = os.urandom(_NONCE_BYTES)
        seeds = nonce + _cipher(protection, passphrase).encrypt(nonce, seeds, _BOUND)
    document = _File("strongroom signing key v1", protection, seeds)
    private_file.write_document(path, document)


def is_protected(path: Path) -> bool:
    """Whether the file needs a passphrase."""
    return isinstance(_read(path).protection, Passphrase)


def load(path: Path, passphrase: bytes | None) -> SigningKey:
    """The key in ``path``.

    Raises:
        KeyRefused: ``cli.signing_key_malformed``, ``keys.passphrase_missing``,
            ``keys.wrong_passphrase``, or a code of ``private_file.read_private``.
    """
    document = _read(path)
    if isinstance(document.protection, Plain):
        if len(document.seeds) != _SEED_BYTES:
            raise _malformed(path)
        return SigningKey.from_seeds(document.seeds)
    if passphrase is None:
        raise KeyRefused(
            "keys.passphrase_missing",
            "The signing key is protected by a passphrase.",
            action="Give the passphrase.",
        )
    nonce, sealed = document.seeds[:_NONCE_BYTES], document.seeds[_NONCE_BYTES:]
    try:
        cipher = _cipher(document.protection, passphrase)
        return SigningKey.from_seeds(cipher.decrypt(nonce, sealed, _BOUND))
    except InvalidTag:
        raise KeyRefused(
            "keys.wrong_passphrase",
            "The passphrase does not open the signing key, or the file was altered.",
            action="Try the passphrase again; if it is right, restore the file from a copy.",
        ) from None


def _read(path: Path) -> _File:
    return private_file.read_document(path, _File, _malformed(path))


def _cipher(protection: Passphrase, passphrase: bytes) -> AESGCM:
    master = protection.derive(passphrase)
    try:
        return AESGCM(master)
    finally:
        wipe(master)


def _malformed(path: Path) -> KeyRefused:
    return KeyRefused(
        "cli.signing_key_malformed",
        f"{path} is not a signing key file.",
        action="Restore the file from a good copy.",
    )
