"""The file with which an approver votes: an Ed25519 seed, sealed under a passphrase if it has one.

It belongs to a person and not to the home whose releases they approve: keep it where only they
can use it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from strongroom.errors import KeyRefused
from strongroom.keys import private_file
from strongroom.keys.keyring_file import Passphrase, Plain, fresh_protection
from strongroom.keys.wiping import wipe
from strongroom.release.approvals import documents
from strongroom.release.approvals.approvers import Approver
from strongroom.release.approvals.documents import Approval, Name, Revocation
from strongroom.release.approvals.reasons import refuse
from strongroom.store.grants import StoredVote

_BOUND = b"strongroom approver key v1"
_NONCE_BYTES = 12
_SEED_BYTES = 32


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    protection: Passphrase | Plain
    seed: Annotated[bytes, Meta(min_length=_SEED_BYTES, max_length=_SEED_BYTES + 28)]
    format: Literal["strongroom approver key v1"] = "strongroom approver key v1"

    def __repr__(self) -> str:
        return "_File()"


class ApproverKey:
    """The private half. Make one with ``create``, read it with ``load``."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.approver = Approver(name, private.public_key().public_bytes_raw())

    @classmethod
    def create(cls, path: Path, name: str, passphrase: bytes | None) -> ApproverKey:
        """A fresh key in a new file of mode 0600.

        Raises:
            KeyRefused: ``release.grant_malformed`` (the name cannot be an approver's),
                ``keys.weak_passphrase``, ``keys.file_exists``, ``keys.file_unwritable``.
        """
        try:
            msgspec.convert(name, Name)
        except msgspec.ValidationError:
            raise refuse("release.grant_malformed") from None
        private = Ed25519PrivateKey.generate()
        seed, protection = private.private_bytes_raw(), Plain()
        if passphrase is None:
            document = _File(name, protection, seed)
        else:
            sealing = fresh_protection(passphrase)
            nonce = os.urandom(_NONCE_BYTES)
            sealed = _cipher(sealing, passphrase).encrypt(nonce, seed, _BOUND)
            document = _File(name, sealing, nonce + sealed)
        private_file.write_document(path, document)
        return cls(name, private)

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None) -> ApproverKey:
        """Read a key file.

        Raises:
            KeyRefused: ``release.approver_key_malformed``, ``keys.passphrase_missing``,
                ``keys.wrong_passphrase``, or a code of ``private_file.read_private``.
        """
        document = _read(path)
        seed = document.seed
        if isinstance(document.protection, Passphrase):
            seed = _opened(document.protection, seed, passphrase)
        if len(seed) != _SEED_BYTES:
            raise refuse("release.approver_key_malformed")
        return cls(document.name, Ed25519PrivateKey.from_private_bytes(seed))

    def approve(self, request: bytes, *, reason: str, created: int, not_after: int) -> StoredVote:
        """A signed approval of the request with these bytes; the errors of ``documents.encode``."""
        approval = Approval(
            format="strongroom grant approval v1",
            request=documents.digest(request),
            approver=self.approver.name,
            key=self.approver.key_id,
            reason=reason,
            created=created,
            not_after=not_after,
        )
        return self._vote(request, approval)

    def revoke(self, request: bytes, *, reason: str, created: int) -> StoredVote:
        """A signed revocation of the request with these bytes; the errors of ``documents``."""
        revocation = Revocation(
            format="strongroom grant revocation v1",
            request=documents.digest(request),
            approver=self.approver.name,
            key=self.approver.key_id,
            reason=reason,
            created=created,
        )
        return self._vote(request, revocation)

    def _vote(self, request: bytes, vote: Approval | Revocation) -> StoredVote:
        raw = documents.encode(vote)
        return StoredVote(
            request=documents.request_id(request),
            approver=vote.approver,
            kind="approval" if isinstance(vote, Approval) else "revocation",
            document=raw,
            signature=self._private.sign(documents.signed_bytes(vote, raw)),
        )

    def __repr__(self) -> str:
        return f"ApproverKey(name={self.approver.name!r}, key_id={self.approver.key_id!r})"


def is_protected(path: Path) -> bool:
    """Whether the file needs a passphrase; the errors of ``ApproverKey.load``."""
    return isinstance(_read(path).protection, Passphrase)


def _read(path: Path) -> _File:
    malformed = refuse("release.approver_key_malformed")
    return private_file.read_document(path, _File, malformed)


def _opened(protection: Passphrase, seed: bytes, passphrase: bytes | None) -> bytes:
    if passphrase is None:
        raise KeyRefused(
            "keys.passphrase_missing",
            "The approver's key is protected by a passphrase.",
            action="Give the passphrase.",
        )
    try:
        cipher = _cipher(protection, passphrase)
        return cipher.decrypt(seed[:_NONCE_BYTES], seed[_NONCE_BYTES:], _BOUND)
    except InvalidTag:
        raise KeyRefused(
            "keys.wrong_passphrase",
            "The passphrase does not open the approver's key, or the file was altered.",
            action="Try the passphrase again; if it is right, restore the file from a copy.",
        ) from None


def _cipher(protection: Passphrase, passphrase: bytes) -> AESGCM:
    master = protection.derive(passphrase)
    try:
        return AESGCM(master)
    finally:
        wipe(master)
