"""What the SQL stores of identities share: the tables, the statements, rows made into records.

Times are whole seconds since the epoch, limits are
JSON, scopes are names with spaces between. Every change raises ``changes.n`` in its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import msgspec

from strongroom.errors import ConfigurationRefused
from strongroom.store.database import Database, IntegrityBroken, Row
from strongroom.store.interface import (
    ALL_SCOPES,
    IdentityStore,
    KeyRecord,
    Organisation,
    Scope,
    Switch,
    SwitchKind,
    check_organisation_name,
)
from strongroom.store.limits import UNLIMITED, Limits

SCHEMA_VERSION = 2

_KEY_COLUMNS = "id, organisation, name, digest, created_at, expires_at, revoked_at, scopes, limits"
_ORGANISATION = (
    "SELECT o.name, o.created_at, o.limits, s.off_since FROM organisations o "
    "LEFT JOIN switches s ON s.kind = 'tenant' AND s.name = o.name"
)


class SqlIdentityStore(Database, IdentityStore):
    """The statements, for any database."""

    def changes(self) -> int:
        """See ``IdentityStore``."""
        return int(self._rows("SELECT n FROM changes")[0][0])

    def organisations(self) -> tuple[Organisation, ...]:
        """See ``IdentityStore``."""
        return tuple(map(_organisation, self._rows(f"{_ORGANISATION} ORDER BY o.name")))

    def organisation(self, name: str) -> Organisation | None:
        """See ``IdentityStore``."""
        rows = self._rows(f"{_ORGANISATION} WHERE o.name = ?", (name,))
        return _organisation(rows[0]) if rows else None

    def add_organisation(self, name: str) -> bool:
        """See ``IdentityStore``."""
        check_organisation_name(name)
        added = self._change(
            "INSERT INTO organisations (name, created_at) VALUES (?, ?) "
            "ON CONFLICT DO NOTHING RETURNING name",
            (name, _seconds(datetime.now(UTC))),
        )
        return bool(added)

    def set_organisation_limits(self, name: str, limits: Limits) -> None:
        """See ``IdentityStore``."""
        statement = "UPDATE organisations SET limits = ? WHERE name = ? RETURNING name"
        if not self._change(statement, (_json(limits), name)):
            raise _no_organisation(name)

    def add_key(self, record: KeyRecord) -> None:
        """See ``IdentityStore``."""
        if self.organisation(record.organisation) is None:
            raise _no_organisation(record.organisation)
        try:
            self._change(
                f"INSERT INTO api_keys ({_KEY_COLUMNS}) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    record.id,
                    record.organisation,
                    record.name,
                    record.digest,
                    _seconds(record.created_at),
                    _optional_seconds(record.expires_at),
                    _optional_seconds(record.revoked_at),
                    " ".join(sorted(record.scopes)),
                    _json(record.limits),
                ),
            )
        except IntegrityBroken:
            raise ConfigurationRefused(
                "store.duplicate_key",
                f"The key {record.id} cannot be stored: its id is taken or a field is malformed.",
                action="Make a new key.",
            ) from None

    def key(self, key_id: str) -> KeyRecord | None:
        """See ``IdentityStore``."""
        statement = f"SELECT {_KEY_COLUMNS} FROM api_keys WHERE id = ?"  # noqa: S608
        rows = self._rows(statement, (key_id,))
        return _key(rows[0]) if rows else None

    def keys(self, organisation: str | None = None) -> tuple[KeyRecord, ...]:
        """See ``IdentityStore``."""
        only = "" if organisation is None else "WHERE organisation = ?"
        rows = self._rows(
            f"SELECT {_KEY_COLUMNS} FROM api_keys {only} ORDER BY created_at, id",  # noqa: S608
            () if organisation is None else (organisation,),
        )
        return tuple(map(_key, rows))

    def revoke_key(self, key_id: str, at: datetime) -> KeyRecord:
        """See ``IdentityStore``."""
        moment = _seconds(at)
        return self._changed_key(
            "UPDATE api_keys SET revoked_at = CASE WHEN revoked_at < ? THEN revoked_at ELSE ? END "
            "WHERE id = ?",
            (moment, moment, key_id),
        )

    def set_key_limits(self, key_id: str, limits: Limits) -> KeyRecord:
        """See ``IdentityStore``."""
        return self._changed_key(
            "UPDATE api_keys SET limits = ? WHERE id = ?", (_json(limits), key_id)
        )

    def switches(self) -> tuple[Switch, ...]:
        """See ``IdentityStore``."""
        rows = self._rows("SELECT kind, name, off_since, reason FROM switches ORDER BY kind, name")
        return tuple(Switch(kind, name, _moment(since), why) for kind, name, since, why in rows)

    def switch_off(self, switch: Switch) -> bool:
        """See ``IdentityStore``."""
        if switch.kind == "tenant" and self.organisation(switch.name) is None:
            raise _no_organisation(switch.name)
        added = self._change(
            "INSERT INTO switches (kind, name, off_since, reason) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING RETURNING name",
            (switch.kind, switch.name, _seconds(switch.off_since), switch.reason),
        )
        return bool(added)

    def switch_on(self, kind: SwitchKind, name: str) -> bool:
        """See ``IdentityStore``."""
        statement = "DELETE FROM switches WHERE kind = ? AND name = ? RETURNING name"
        return bool(self._change(statement, (kind, name)))

    def counting_begun(self) -> bool:
        """See ``IdentityStore``."""
        return bool(self._rows("SELECT counting FROM changes")[0][0])

    def begin_counting(self) -> None:
        """See ``IdentityStore``."""
        self._change("UPDATE changes SET counting = 1", ())

    def _change(self, statement: str, values: Sequence[object]) -> list[Row]:
        with self._transaction():
            rows = self._rows(statement, values)
            self._rows("UPDATE changes SET n = n + 1")
        return rows

    def _changed_key(self, statement: str, values: Sequence[object]) -> KeyRecord:
        rows = self._change(f"{statement} RETURNING {_KEY_COLUMNS}", values)
        if not rows:
            raise ConfigurationRefused(
                "store.no_key",
                f"There is no key {values[-1]}.",
                action="List the keys for their ids.",
            )
        return _key(rows[0])


def schema(blob: str, integer: str, strict: str, length: str) -> list[str]:
    """The statements that make version 2, in the words of one database."""
    return [
        "CREATE TABLE organisations (name TEXT PRIMARY KEY NOT NULL, "
        f"created_at {integer} NOT NULL, limits TEXT NOT NULL DEFAULT '{{}}'){strict}",
        "CREATE TABLE api_keys (id TEXT PRIMARY KEY NOT NULL, "
        "organisation TEXT NOT NULL REFERENCES organisations (name), name TEXT NOT NULL, "
        f"digest {blob} NOT NULL CHECK ({length}(digest) = 32), created_at {integer} NOT NULL, "
        f"expires_at {integer}, revoked_at {integer}, scopes TEXT NOT NULL, "
        f"limits TEXT NOT NULL DEFAULT '{{}}'){strict}",
        "CREATE INDEX api_keys_of_organisation ON api_keys (organisation)",
        *additions(integer, strict),
    ]


def additions(integer: str, strict: str) -> list[str]:
    """The tables that version 1 did not have."""
    return [
        "CREATE TABLE switches (kind TEXT NOT NULL CHECK (kind IN ('model', 'tenant')), "
        f"name TEXT NOT NULL, off_since {integer} NOT NULL, reason TEXT NOT NULL, "
        f"PRIMARY KEY (kind, name)){strict}",
        f"CREATE TABLE changes (n {integer} NOT NULL, counting {integer} NOT NULL){strict}",
        "INSERT INTO changes (n, counting) VALUES (0, 0)",
    ]


def _no_organisation(name: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "store.no_organisation",
        f"There is no organisation named {name!r}.",
        action="Create it first, or list those there are with `strongroom tenant list`.",
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _optional_seconds(moment: datetime | None) -> int | None:
    return None if moment is None else _seconds(moment)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _optional_moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)


def _json(limits: Limits) -> str:
    return msgspec.json.encode(limits).decode()


def _limits(text: str) -> Limits:
    """Damaged limits are no limits to guess at: refuse."""
    if text == "{}":
        return UNLIMITED
    try:
        return msgspec.json.decode(text, type=Limits)
    except (msgspec.MsgspecError, ValueError):
        raise ConfigurationRefused(
            "store.bad_row",
            "The database holds limits that this program cannot read.",
            action="Set them again with `strongroom tenant limits` or `strongroom key limits`.",
        ) from None


def _organisation(row: Row) -> Organisation:
    name, created, limits, suspended = row
    return Organisation(name, _moment(created), _limits(limits), _optional_moment(suspended))


def _key(row: Row) -> KeyRecord:
    key_id, organisation, name, digest, created, expires, revoked, scopes, limits = row
    granted = frozenset(cast("list[Scope]", scopes.split())) & ALL_SCOPES
    return KeyRecord(
        id=key_id,
        organisation=organisation,
        name=name,
        digest=bytes(digest),
        created_at=_moment(created),
        expires_at=_optional_moment(expires),
        revoked_at=_optional_moment(revoked),
        scopes=granted,
        limits=_limits(limits),
    )
