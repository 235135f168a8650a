"""The key of a home's logs: it signs their checkpoints and keys the digests in their entries.

One file of mode 0600 holds an Ed25519 seed and 32 bytes for HMAC. Whoever has it can sign another
history; what witnesses do about that is in docs/record.md.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from strongroom.ledger import note
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.files import write_durably
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.reasons import refuse

_MAX_BYTES = 4096
_LOG_NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,63}")
_Secret = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9./\-]*\Z")]
    seed: _Secret
    digest_key: _Secret
    format: Literal["strongroom log key v1"] = "strongroom log key v1"

    def __repr__(self) -> str:
        return "_File()"


class LogKey:
    """The private half. Make one with ``create``, read it with ``load``."""

    def __init__(self, file: _File, path: Path) -> None:
        self.path = path
        self._private = Ed25519PrivateKey.from_private_bytes(file.seed)
        key = file.digest_key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))
        self.public = VerifierKey(file.name, self._private.public_key().public_bytes_raw())

    @classmethod
    def create(cls, path: Path, name: str | None = None) -> LogKey:
        """A fresh key in a new file, and its verifier key beside it in ``<stem>.pub``.

        Args:
            path: the file, such as ``H/keys/log.key``.
            name: what the origins of the logs begin with, such as ``logs.example.com``; by default
                ``strongroom-`` and 16 hex digits of the public key's SHA-256.

        Raises:
            KeyRefused: ``ledger.key_exists``.
        """
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        chosen = name or f"strongroom-{hashlib.sha256(public).hexdigest()[:16]}"
        file = _File(chosen, private.private_bytes_raw(), os.urandom(32))
        if os.path.lexists(path):
            raise refuse("ledger.key_exists", where=path)
        write_durably(path, msgspec.json.encode(file) + b"\n")
        key = cls(file, path)
        write_durably(path.with_suffix(".pub"), key.public.encode().encode() + b"\n")
        return key

    @classmethod
    def load(cls, path: Path) -> LogKey:
        """Read a key file; ``ledger.key_missing`` or ``ledger.key_unusable``."""
        try:
            content = _read_private(path)
        except FileNotFoundError:
            raise refuse("ledger.key_missing", where=path) from None
        except OSError as error:
            raise refuse("ledger.key_unusable", where=path, problem=error.strerror) from None
        try:
            return cls(msgspec.json.decode(content, type=_File), path)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise refuse("ledger.key_unusable", where=path, problem="it is no log key") from None

    def verifier(self, log: str) -> VerifierKey:
        """The verifier key of one log: its name is the log's origin; ``ledger.bad_name``."""
        if not _LOG_NAME.fullmatch(log):
            raise refuse("ledger.bad_name", name=ascii(log)[:80])
        return self.public.renamed(f"{self.public.name}/{log}")

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint as a note signed under the log's origin."""
        return note.sign(checkpoint.text(), self.public.renamed(checkpoint.origin), self._private)

    def digest(self, kind: str, content: bytes) -> str:
        """HMAC-SHA-256 of ``content``, 64 hex digits; equal contents of two kinds do not show."""
        # RFC 2104 from prepared states: `hmac.digest` lets go of the interpreter's lock, and then
        # waits for it as long as the log's thread works.
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(kind.encode() + b"\0" + content)
        outer.update(inner.digest())
        return outer.hexdigest()

    def __repr__(self) -> str:
        return f"LogKey({self.public.name!r})"


def _read_private(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(0, "it is not a regular file of this user")
        if found.st_mode & 0o077:
            raise OSError(0, "other users may reach it")
        return file.read(_MAX_BYTES)
