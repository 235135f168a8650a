"""Whom and what the caller trusts: signers, and the newest release seen of each model.

Both come from the caller's own configuration and state, never from a sealed model. The rules for
releases (spec section 7), applied to the record ``(release, digest)`` of the same model id:

1. No record: accepted. (First use; keep the record on storage that attackers cannot reset.)
2. A lower release: ``artifact.rollback``.
3. The same release: the digest must be the same, else ``artifact.fork``.
4. The next release: if it names a previous digest, that must be the recorded one, else
   ``artifact.fork``.
5. Otherwise accepted.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.artifact import canonical
from strongroom.artifact.durable import sync_folder, write_durably
from strongroom.artifact.reasons import refuse, shown
from strongroom.artifact.signing import PublicSigner

if TYPE_CHECKING:
    from strongroom.artifact.manifest import Manifest

_MAX_STATE_BYTES = 16 * 1024 * 1024
Hex64 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Trust:
    """The signers whose models are accepted."""

    __slots__ = ("_signers",)

    def __init__(self, signers: Collection[PublicSigner]) -> None:
        self._signers = {signer.fingerprint: signer for signer in signers}

    def signer(self, fingerprint: str) -> PublicSigner:
        """The trusted signer of this fingerprint, or ``artifact.signer_unknown``."""
        signer = self._signers.get(fingerprint)
        if signer is None:
            raise refuse("artifact.signer_unknown", signer=shown(fingerprint, 40))
        return signer

    def __repr__(self) -> str:
        return f"Trust({sorted(self._signers)})"


def require_unexpired(manifest: Manifest, now: datetime | None) -> None:
    """``artifact.expired`` if the model's ``not_after`` has passed at ``now`` (default: now)."""
    expires = manifest.expires
    if expires is not None and (now or datetime.now(UTC)) > expires:
        raise refuse("artifact.expired", not_after=manifest.not_after)


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest release seen of one model."""

    release: Annotated[int, Meta(ge=1, le=canonical.MAX_INTEGER)]
    digest: Hex64


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    models: dict[str, Seen]


def require_newer(seen: Seen | None, manifest: Manifest) -> None:
    """Rules 1 to 5 above."""
    if seen is None:  # (1)
        return
    if manifest.release < seen.release:  # (2)
        raise refuse("artifact.rollback", release=manifest.release, seen=seen.release)
    same = manifest.release == seen.release and manifest.digest != seen.digest  # (3)
    follows = manifest.release == seen.release + 1 and manifest.previous is not None  # (4)
    if same or (follows and manifest.previous != seen.digest):
        raise refuse("artifact.fork", release=manifest.release, seen=seen.release)


class ReleaseState:
    """The record of releases seen: a small JSON file, locked, replaced atomically.

    A file that is damaged, or is not a regular file, is refused and never rewritten: the record
    is what stands between an attacker and an older release.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def seen(self, model_id: str) -> Seen | None:
        """The newest release seen of a model, or None."""
        return self._read().models.get(model_id)

    def check(self, manifest: Manifest) -> None:
        """Refuse ``manifest`` if it is older than, or forks from, what has been seen."""
        require_newer(self._read().models.get(manifest.model_id), manifest)

    def advance(self, manifest: Manifest) -> None:
        """Check again, and remember ``manifest`` as the newest."""
        with self._lock():
            state = self._read()
            seen = state.models.get(manifest.model_id)
            require_newer(seen, manifest)
            new = Seen(manifest.release, manifest.digest)
            if seen != new:
                self._write(_State(1, {**state.models, manifest.model_id: new}))

    def _read(self) -> _State:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(self._path, flags)
        except FileNotFoundError:
            return _State(1, {})
        except OSError:
            raise self._damaged() from None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_STATE_BYTES:
                raise self._damaged()
            raw = os.read(fd, status.st_size + 1)
        except OSError:
            raise self._damaged() from None
        finally:
            os.close(fd)
        try:
            return canonical.decode(raw, _State, self._path.name)
        except Exception:
            raise self._damaged() from None

    def _write(self, state: _State) -> None:
        beside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        try:
            write_durably(beside, canonical.encode(state))
            beside.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as problem:
            beside.unlink(missing_ok=True)
            raise self._unwritable(problem) from None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(self._path.with_name(self._path.name + ".lock"), flags, 0o600)
        except OSError as problem:
            raise self._unwritable(problem) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _damaged(self) -> Exception:
        return refuse("artifact.state_damaged", where=shown(self._path))

    def _unwritable(self, problem: OSError) -> Exception:
        text = problem.strerror or "unknown error"
        return refuse("artifact.state_unwritable", where=shown(self._path), problem=text)
