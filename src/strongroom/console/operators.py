"""Operator keys: who may log in to the console.

A key is ``sro_<id>_<secret>``: 16 hex digits and 256 random bits in 43 base64url characters. Stored
is BLAKE2b-256 of the whole text, keyed by the home's pepper, in one private file of the home. So it
does not matter which store serves the gateways, and a stolen file lets nobody in.

Numbered as they are carried out at a log in:

1. the form is checked;   2. the digest is computed and compared in constant time, also when no such
operator exists;   3. a revoked operator is as unknown as one who never was.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.errors import ConfigurationRefused

_FORM: Final = re.compile(r"sro_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_NOBODY: Final = bytes(32)
_MAX_BYTES: Final = 4 * 1024 * 1024
_PERSON: Final = b"strongroom oper."


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operator as stored; ``name`` stands in the record beside what was done."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    created_at: datetime
    revoked_at: datetime | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, le=1)]
    operators: Annotated[tuple[Operator, ...], Meta(max_length=1000)]


class Operators:
    """The operators in one file, read anew at each question: a revocation counts at once.

    Args:
        path: the file; absent means that there are none.
        pepper: 32 bytes, kept apart from the file.
    """

    def __init__(self, path: Path, pepper: bytes) -> None:
        self._path = path
        self._pepper = pepper

    def all(self) -> tuple[Operator, ...]:
        """Every operator, revoked ones too, oldest first.

        Raises:
            ConfigurationRefused: ``console.operators_unreadable``, ``console.operators_exposed``.
        """
        try:
            with self._path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise _unreadable(self._path, error.strerror or "unknown error") from None
        if mode & 0o077:
            raise ConfigurationRefused(
                "console.operators_exposed",
                f"Other users may read or write {self._path}.",
                action=f"Run: chmod 600 {self._path}",
            )
        try:
            return msgspec.json.decode(content[:_MAX_BYTES], type=_File).operators
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable(self._path, str(error)) from None

    def create(
        self, name: str, now: datetime, first: Callable[[Operator], None] = lambda _made: None
    ) -> tuple[Operator, str]:
        """Add an operator; returns the record and the key's text, which nothing can show again.

        ``first`` is done before the key is in force: what grants something is recorded first.

        Raises:
            ConfigurationRefused: ``console.bad_operator_name``, ``console.operator_exists``.
        """
        if _NAME.fullmatch(name) is None:
            raise ConfigurationRefused(
                "console.bad_operator_name",
                "An operator's name has 1 to 64 letters, digits or . _ @ -, and no sign first.",
                action="Choose another name.",
            )
        there = self.all()
        if any(each.name == name and each.revoked_at is None for each in there):
            raise ConfigurationRefused(
                "console.operator_exists",
                f"There is an operator named {name} already.",
                action="Revoke that one first, or choose another name.",
            )
        operator_id = secrets.token_hex(8)
        text = f"sro_{operator_id}_{secrets.token_urlsafe(32)}"
        made = Operator(operator_id, name, self._digest(text), now)
        first(made)
        self._write((*there, made))
        return made, text

    def revoke(self, operator_id: str, now: datetime) -> Operator:
        """Revoke an operator: no log in any more, and sessions end at their next request.

        Raises:
            ConfigurationRefused: ``console.no_operator``.
        """
        there = self.all()
        found = next((each for each in there if each.id == operator_id), None)
        if found is None:
            raise ConfigurationRefused(
                "console.no_operator",
                f"There is no operator {operator_id}.",
                action="List the operators for their ids.",
            )
        revoked = msgspec.structs.replace(found, revoked_at=found.revoked_at or now)
        self._write(tuple(revoked if each is found else each for each in there))
        return revoked

    def identify(self, text: str) -> Operator | None:
        """Whose key ``text`` is; ``None`` for any other text, with nothing that tells why."""
        matched = _FORM.fullmatch(text)  # (1)
        if matched is None:
            return None
        found = next((each for each in self.all() if each.id == matched[1]), None)
        expected = _NOBODY if found is None else found.digest
        same = hmac.compare_digest(self._digest(text), expected)  # (2)
        if found is None or not same or found.revoked_at is not None:  # (3)
            return None
        return found

    def current(self, operator_id: str) -> bool:
        """Whether this operator is still in force."""
        return any(each.id == operator_id and each.revoked_at is None for each in self.all())

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(
            text.encode(), digest_size=32, key=self._pepper, person=_PERSON
        ).digest()

    def _write(self, operators: tuple[Operator, ...]) -> None:
        content = msgspec.json.format(msgspec.json.encode(_File(1, operators)), indent=1)
        fresh = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise _unreadable(self._path, error.strerror or "unknown error") from None


def _unreadable(path: Path, reason: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "console.operators_unreadable",
        f"The list of operators {path} cannot be used: {reason}.",
        action="Restore the file from a copy, or remove it and create operators anew.",
    )
