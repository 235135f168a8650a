"""The embedded database: one SQLite file, private to its owner."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strongroom.errors import ConfigurationRefused, EnvironmentLacks, StrongroomError
from strongroom.store import grants, lineage, tuning
from strongroom.store.database import Database, IntegrityBroken
from strongroom.store.interface import ALL_SCOPES
from strongroom.store.sql import SCHEMA_VERSION, SqlIdentityStore, additions, schema

_STRICT = " STRICT"
_FROM_1 = (
    "ALTER TABLE organisations ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0",
    # An organisation is as old as its oldest key; without one it begins now.
    "UPDATE organisations SET created_at = coalesce((SELECT min(created_at) FROM api_keys "
    "WHERE organisation = organisations.name), unixepoch())",
    "ALTER TABLE organisations ADD COLUMN limits TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT "
    f"'{' '.join(sorted(ALL_SCOPES))}'",
    "ALTER TABLE api_keys ADD COLUMN limits TEXT NOT NULL DEFAULT '{}'",
    *additions("INTEGER", _STRICT),
)


class SqliteDatabase(Database):
    """One SQLite file (WAL, mode 0600), made on first use.

    Several processes may have it open: a change by one is seen by the next read of another.

    Args:
        path: the file.
        version: of the schema that the caller knows.
        made: the statements that lead to it from each earlier version; from 0, a new file.

    Raises:
        ConfigurationRefused: ``store.exposed`` (others may read the file), ``store.unusable`` (no
            database, or not writable), ``store.unknown_schema`` (another version made it).
    """

    def __init__(self, path: Path, version: int, made: Mapping[int, Sequence[str]]) -> None:
        _create_private(path)
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(
                path, timeout=5.0, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA trusted_schema = OFF")
            self._migrate(path, version, made)
        except sqlite3.Error as error:
            raise _unusable(path, error) from None

    def _migrate(self, path: Path, version: int, made: Mapping[int, Sequence[str]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found != version and found not in made:
                raise ConfigurationRefused(
                    "store.unknown_schema",
                    f"{path} has schema version {found}, this program knows {version}.",
                    action="Use the program version that made it, or another database.",
                )
            for statement in made.get(found, ()):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {version}")
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self._db.close()
            raise

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Sequence[Any]]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.IntegrityError:
            raise IntegrityBroken from None
        except sqlite3.Error as error:
            raise _unavailable(error) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._rows("BEGIN IMMEDIATE")
            try:
                yield
                self._rows("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """See ``Database``."""
        self._db.close()


class SqliteStore(SqliteDatabase, SqlIdentityStore):
    """Identities in a SQLite file, brought up from version 1; the errors of ``SqliteDatabase``."""

    def __init__(self, path: Path) -> None:
        made = {0: schema("BLOB", "INTEGER", _STRICT, "length"), 1: _FROM_1}
        super().__init__(path, SCHEMA_VERSION, made)


class SqliteGrants(SqliteDatabase, grants.SqlGrantStore):
    """Grants in a SQLite file of their own; the errors of ``SqliteDatabase``."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, grants.SCHEMA_VERSION, {0: grants.schema("BLOB", "INTEGER", _STRICT)}
        )


class SqliteLineage(SqliteDatabase, lineage.SqlLineageStore):
    """Lineage in a SQLite file of its own; the errors of ``SqliteDatabase``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, lineage.SCHEMA_VERSION, {0: lineage.schema("INTEGER", _STRICT)})


class SqliteTuning(SqliteDatabase, tuning.SqlTuningStore):
    """Tuning jobs in a SQLite file of their own; the errors of ``SqliteDatabase``."""

    def __init__(self, path: Path) -> None:
        made = tuning.upgrades("BLOB", "INTEGER", "REAL", _STRICT)
        super().__init__(path, tuning.SCHEMA_VERSION, made)


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


def _unavailable(error: sqlite3.Error) -> StrongroomError:
    return EnvironmentLacks(
        "store.unavailable",
        f"The SQLite database cannot be used now: {type(error).__name__}.",
        action="Check the disk, and whether another process holds the file locked.",
    )
