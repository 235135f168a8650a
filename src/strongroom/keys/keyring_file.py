"""What stands in a keyring file, and the bounds within which it is believed.

A keyring may have been put there by somebody else, so nothing in it can ask for more than a
gibibyte of memory, sixteen passes or sixteen lanes, nor for so little that a guess costs nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Meta

from strongroom.errors import KeyRefused
from strongroom.keys import private_file

KEK_BYTES = 32
SALT_BYTES = 16
MIN_PASSPHRASE_BYTES = 8

DEFAULT_ITERATIONS = 3
DEFAULT_LANES = 4
DEFAULT_MEMORY_KIB = 64 * 1024
"""Argon2id with t=3, p=4, m=64 MiB: the second recommended option of RFC 9106, section 4."""

_KeyId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class Passphrase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="argon2id"):
    """The KEKs are sealed under Argon2id of a passphrase, with these recorded parameters."""

    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    iterations: Annotated[int, Meta(ge=1, le=16)] = DEFAULT_ITERATIONS
    lanes: Annotated[int, Meta(ge=1, le=16)] = DEFAULT_LANES
    memory_kib: Annotated[int, Meta(ge=19 * 1024, le=1024 * 1024)] = DEFAULT_MEMORY_KIB

    def derive(self, passphrase: bytes) -> bytearray:
        """The key that seals the secrets of this file, 32 bytes; the caller wipes it."""
        master = bytearray(KEK_BYTES)
        Argon2id(
            salt=self.salt,
            length=KEK_BYTES,
            iterations=self.iterations,
            lanes=self.lanes,
            memory_cost=self.memory_kib,
        ).derive_into(passphrase, master)
        return master


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="file-permissions"):
    """The KEKs are not sealed; the file's permissions protect them."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One KEK: its id and its bytes, 32 plain ones or ``nonce ‖ ciphertext ‖ tag``."""

    id: _KeyId
    key: Annotated[bytes, Meta(min_length=KEK_BYTES, max_length=KEK_BYTES + 28)]

    def __repr__(self) -> str:
        return f"Entry(id={self.id!r})"


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole keyring file. Keys are oldest first."""

    protection: Passphrase | Plain
    active: _KeyId
    keys: Annotated[tuple[Entry, ...], Meta(min_length=1, max_length=1024)]
    format: Literal["strongroom keyring v1"] = "strongroom keyring v1"


def fresh_protection(passphrase: bytes) -> Passphrase:
    """Parameters for a new keyring; refuses a passphrase too short to be one."""
    if len(passphrase) < MIN_PASSPHRASE_BYTES:
        raise KeyRefused(
            "keys.weak_passphrase",
            f"The passphrase has fewer than {MIN_PASSPHRASE_BYTES} bytes.",
            action="Choose a longer one: five random words are good.",
        )
    return Passphrase(salt=os.urandom(SALT_BYTES))


def load(path: Path) -> Document:
    """Read and validate a keyring file; ``keys.keyring_malformed`` if it is not one."""
    form = malformed("it does not have the form of a keyring")
    document = private_file.read_document(path, Document, form)
    ids = [entry.id for entry in document.keys]
    if len(set(ids)) != len(ids) or document.active not in ids:
        raise malformed("its list of keys contradicts itself")
    size = KEK_BYTES if isinstance(document.protection, Plain) else KEK_BYTES + 28
    if any(len(entry.key) != size for entry in document.keys):
        raise malformed("a key has the wrong length")
    return document


def malformed(why: str) -> KeyRefused:
    """The keyring is not acceptable; ``why`` completes the sentence."""
    return KeyRefused(
        "keys.keyring_malformed",
        f"The keyring cannot be used: {why}.",
        action="Restore the file from a good copy.",
    )
