"""What a store of organisations, API keys and switches promises."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Final, Literal

import msgspec

from strongroom.errors import ConfigurationRefused
from strongroom.store.closing import Closing
from strongroom.store.limits import UNLIMITED, Limits

Scope = Literal["chat", "completions", "embeddings", "infer", "models", "tuning"]
SwitchKind = Literal["model", "tenant"]

ALL_SCOPES: Final[frozenset[Scope]] = frozenset(
    ("chat", "completions", "embeddings", "infer", "models", "tuning")
)
"""``chat``, ``completions`` and ``infer`` ask a model; ``models`` tells of it; ``tuning`` makes
adapters of it, where the owner offers that."""


class Organisation(msgspec.Struct, frozen=True):
    """Who pays for keys and is limited above them. Times are UTC, whole seconds.

    ``suspended_at`` is set while the tenant of this name is switched off: nothing that belongs to
    it is served, whatever the key.
    """

    name: str
    created_at: datetime
    limits: Limits = UNLIMITED
    suspended_at: datetime | None = None


class KeyRecord(msgspec.Struct, frozen=True):
    """One API key as it is stored. ``digest`` is keyed by a pepper that no store ever holds.

    Times are UTC, whole seconds. ``organisation`` is who pays for, and is limited above, the key.
    """

    id: str
    organisation: str
    name: str
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    limits: Limits = UNLIMITED

    def usable(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired at ``now``."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return False
        return self.expires_at is None or now < self.expires_at


class Switch(msgspec.Struct, frozen=True):
    """Something that is switched off, since when, and why."""

    kind: SwitchKind
    name: str
    off_since: datetime
    reason: str = ""


def check_organisation_name(name: str) -> None:
    """Refuse, ``store.bad_name``, what cannot be an organisation's name."""
    if not 1 <= len(name) <= 128 or not name.isprintable() or name != name.strip():
        raise ConfigurationRefused(
            "store.bad_name",
            "An organisation's name has 1 to 128 printable characters, no space around them.",
            action="Choose another name.",
        )


class IdentityStore(Closing):
    """Organisations, the API keys below them, and what is switched off.

    Names of organisations are the tenants of disclosure policies: 1 to 128 printable characters.
    Every change is durable when the method returns, and is seen by the next read of every other
    process. Errors are ``StrongroomError`` with a code ``store.*``; a store that cannot be reached
    raises ``store.unavailable``.

    May be used from several threads; a call can take as long as its database does.
    """

    @abstractmethod
    def changes(self) -> int:
        """A number that grows with every change: whoever remembers something asks this often."""

    @abstractmethod
    def organisations(self) -> tuple[Organisation, ...]:
        """All organisations, sorted by name."""

    @abstractmethod
    def organisation(self, name: str) -> Organisation | None:
        """The organisation of this name; ``None`` if there is none."""

    @abstractmethod
    def add_organisation(self, name: str) -> bool:
        """Create an organisation; whether it is new. ``store.bad_name``."""

    @abstractmethod
    def set_organisation_limits(self, name: str, limits: Limits) -> None:
        """Replace an organisation's limits; ``store.no_organisation``."""

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
    def set_key_limits(self, key_id: str, limits: Limits) -> KeyRecord:
        """Replace a key's limits; ``store.no_key`` if unknown."""

    @abstractmethod
    def switches(self) -> tuple[Switch, ...]:
        """All that is switched off, sorted by kind and name."""

    @abstractmethod
    def switch_off(self, switch: Switch) -> bool:
        """Switch off a model or a tenant; whether it was on. Keeps an earlier switch as it is.

        A tenant that has no organisation is refused, ``store.no_organisation``: a mistyped name
        must not look like success. Models are not known here; any name is taken.
        """

    @abstractmethod
    def switch_on(self, kind: SwitchKind, name: str) -> bool:
        """Switch on again; whether it was off."""

    @abstractmethod
    def counting_begun(self) -> bool:
        """Whether a shared counter store was ever begun.

        One that is empty although counting had begun has lost what was spent.
        """

    @abstractmethod
    def begin_counting(self) -> None:
        """Note, for ever, that it was begun."""
