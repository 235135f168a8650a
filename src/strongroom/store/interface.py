"""What a store of organisations and API keys promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from types import TracebackType

import msgspec


class KeyRecord(msgspec.Struct, frozen=True):
    """One API key as it is stored. ``digest`` is keyed by a pepper that no store ever holds.

    Times are UTC, whole seconds. ``organisation`` is who pays for, and is limited by, the key.
    """

    id: str
    organisation: str
    name: str
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def usable(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired at ``now``."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return False
        return self.expires_at is None or now < self.expires_at


class KeyStore(ABC):
    """Organisations, and the API keys below them.

    Names of organisations are the tenants of disclosure policies: 1 to 128 printable characters.
    Every change is durable when the method returns. Errors are ``StrongroomError`` with a code
    ``store.*``.
    """

    @abstractmethod
    def organisations(self) -> tuple[str, ...]:
        """The names of all organisations, sorted."""

    @abstractmethod
    def add_organisation(self, name: str) -> None:
        """Create an organisation; does nothing if it exists."""

    @abstractmethod
    def add_key(self, record: KeyRecord) -> None:
        """Store a new key; ``store.no_organisation`` or ``store.duplicate_key``."""

    @abstractmethod
    def key(self, key_id: str) -> KeyRecord | None:
        """The key with this id, revoked and expired ones included; ``None`` if there is none."""

    @abstractmethod
    def keys(self, organisation: str | None = None) -> tuple[KeyRecord, ...]:
        """All keys, or those of one organisation, oldest first."""

    @abstractmethod
    def revoke_key(self, key_id: str, at: datetime) -> KeyRecord:
        """Mark a key revoked, keeping an earlier revocation; ``store.no_key`` if unknown."""

    @abstractmethod
    def close(self) -> None:
        """Release what the store holds; the object is unusable afterwards."""

    def __enter__(self) -> KeyStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
