"""The embedded store: one SQLite file, private to its owner."""

from __future__ import annotations

import os
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

from strongroom.errors import ConfigurationRefused, StrongroomError
from strongroom.store.interface import KeyRecord, KeyStore

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE organisations (
    name TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 128)
) STRICT, WITHOUT ROWID;
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    organisation TEXT NOT NULL REFERENCES organisations (name),
    name TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_of_organisation ON api_keys (organisation);
"""
_COLUMNS = "id, organisation, name, digest, created_at, expires_at, revoked_at"
_Row = tuple[str, str, str, bytes, int, int | None, int | None]


class SqliteKeyStore(KeyStore):
    """Organisations and API keys in one SQLite file (WAL, mode 0600), made on first use.

    Several processes may have it open: a change by one is seen by the next read of another.

    Raises:
        ConfigurationRefused: ``store.exposed`` (others may read the file), ``store.unusable`` (no
            database, or not writable), ``store.unknown_schema`` (another version made it).
    """

    def __init__(self, path: Path) -> None:
        _create_private(path)
        try:
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA trusted_schema = OFF")
            self._migrate(path)
        except sqlite3.Error as error:
            raise _unusable(path, error) from None

    def _migrate(self, path: Path) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise ConfigurationRefused(
                    "store.unknown_schema",
                    f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}.",
                    action="Use the program version that made it, or another database.",
                )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self._db.close()
            raise

    def organisations(self) -> tuple[str, ...]:
        """See ``KeyStore``."""
        rows = self._db.execute("SELECT name FROM organisations ORDER BY name").fetchall()
        return tuple(name for (name,) in rows)

    def add_organisation(self, name: str) -> None:
        """See ``KeyStore``; ``store.bad_name`` for a name that cannot be one."""
        if not 1 <= len(name) <= 128 or not name.isprintable() or name != name.strip():
            raise ConfigurationRefused(
                "store.bad_name",
                "An organisation's name has 1 to 128 printable characters, no space around them.",
                action="Choose another name.",
            )
        self._db.execute("INSERT INTO organisations VALUES (?) ON CONFLICT DO NOTHING", (name,))

    def add_key(self, record: KeyRecord) -> None:
        """See ``KeyStore``."""
        if record.organisation not in self.organisations():
            raise ConfigurationRefused(
                "store.no_organisation",
                f"There is no organisation named {record.organisation!r}.",
                action="Create it first.",
            )
        try:
            self._db.execute(
                f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    record.id,
                    record.organisation,
                    record.name,
                    record.digest,
                    _seconds(record.created_at),
                    _seconds(record.expires_at),
                    _seconds(record.revoked_at),
                ),
            )
        except sqlite3.IntegrityError:
            raise ConfigurationRefused(
                "store.duplicate_key",
                f"The key {record.id} cannot be stored: its id is taken or a field is malformed.",
                action="Make a new key.",
            ) from None

    def key(self, key_id: str) -> KeyRecord | None:
        """See ``KeyStore``."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM api_keys WHERE id = ?",  # noqa: S608
            (key_id,),
        ).fetchone()
        return None if row is None else _record(row)

    def keys(self, organisation: str | None = None) -> tuple[KeyRecord, ...]:
        """See ``KeyStore``."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM api_keys "  # noqa: S608
            "WHERE ?1 IS NULL OR organisation = ?1 ORDER BY created_at, id",
            (organisation,),
        ).fetchall()
        return tuple(_record(row) for row in rows)

    def revoke_key(self, key_id: str, at: datetime) -> KeyRecord:
        """See ``KeyStore``."""
        self._db.execute(
            "UPDATE api_keys SET revoked_at = coalesce(min(revoked_at, ?1), ?1) WHERE id = ?2",
            (_seconds(at), key_id),
        )
        record = self.key(key_id)
        if record is None:
            raise ConfigurationRefused(
                "store.no_key", f"There is no key {key_id}.", action="List the keys for their ids."
            )
        return record

    def close(self) -> None:
        """See ``KeyStore``."""
        self._db.close()


def _create_private(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unusable(path, error) from None
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationRefused(
            "store.exposed",
            f"Other users may read or write {path}.",
            action=f"Run: chmod 600 {path}",
        )


def _unusable(path: Path, error: Exception) -> StrongroomError:
    return ConfigurationRefused(
        "store.unusable",
        f"The database {path} cannot be used: {error}.",
        action="Check the path, its permissions and the disk.",
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _record(row: _Row) -> KeyRecord:
    key_id, organisation, name, digest, created, expires, revoked = row
    return KeyRecord(
        id=key_id,
        organisation=organisation,
        name=name,
        digest=digest,
        created_at=datetime.fromtimestamp(created, UTC),
        expires_at=_moment(expires),
        revoked_at=_moment(revoked),
    )
