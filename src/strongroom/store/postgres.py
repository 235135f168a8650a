"""The database for replicas: PostgreSQL, through psycopg (the extra ``postgres``).

One connection, used by one thread at a time, made again when it was lost. Writers take a lock for
their transaction, so that ``changes`` grows in the order in which changes become visible.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from strongroom.errors import ConfigurationRefused, EnvironmentLacks, StrongroomError
from strongroom.store import grants, lineage, tuning
from strongroom.store.database import Database, IntegrityBroken
from strongroom.store.sql import SCHEMA_VERSION, SqlIdentityStore, schema

if TYPE_CHECKING:
    import psycopg

_WRITERS = 0x5354524F4E470001
"""The advisory lock of writers: any number that nobody else uses."""

_SECONDS = 3
_OPTIONS: dict[str, Any] = {
    "connect_timeout": _SECONDS,
    "keepalives_idle": _SECONDS,
    "tcp_user_timeout": 1000 * _SECONDS,
    "application_name": "strongroom",
}
_T = TypeVar("_T")


class PostgresDatabase(Database):
    """Tables in the schema that comes first in the connection's search path; made on first use.

    Args:
        url: a libpq URL, ``postgresql://user@host/database``. It may hold a password, so it is
            never shown.
        version: of the tables that the caller knows.
        made: the statements that lead to them from each earlier version; from 0, from none.
        versions: the table that holds their version.

    Raises:
        ConfigurationRefused: ``store.no_driver``, ``store.unknown_schema``.
        EnvironmentLacks: ``store.unavailable``.
    """

    def __init__(
        self, url: str, version: int, made: Mapping[int, Sequence[str]], versions: str
    ) -> None:
        try:
            import psycopg
        except ImportError:
            raise ConfigurationRefused(
                "store.no_driver",
                "PostgreSQL is asked for, but psycopg is not installed.",
                action="Install strongroom[postgres].",
            ) from None
        self._psycopg = psycopg
        self._url = url
        self._lock = threading.RLock()
        self._db: psycopg.Connection[Any] | None = None
        self._in_transaction = False
        with self._transaction():
            self._migrate(version, made, versions)

    def _migrate(self, version: int, made: Mapping[int, Sequence[str]], versions: str) -> None:
        self._rows(f"CREATE TABLE IF NOT EXISTS {versions} (version BIGINT NOT NULL)")
        rows = self._rows(f"SELECT version FROM {versions}")  # noqa: S608
        found = int(rows[0][0]) if rows else 0
        if found == version:
            return
        if found not in made:
            raise ConfigurationRefused(
                "store.unknown_schema",
                f"The database has schema version {found}, this program knows {version}.",
                action="Use the program version that made it, or another database.",
            )
        for statement in made[found]:
            self._rows(statement)
        self._rows(f"DELETE FROM {versions}")  # noqa: S608
        self._rows(f"INSERT INTO {versions} (version) VALUES (?)", (version,))  # noqa: S608

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Sequence[Any]]:
        def run() -> list[Sequence[Any]]:
            text = statement.replace("?", "%s")
            cursor = self._connection().execute(text.encode(), values)
            return cursor.fetchall() if cursor.description else []

        return self._guarded(run)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._guarded(self._begin)
            self._in_transaction = True
            try:
                yield
                self._rows("COMMIT")
            except BaseException:
                with suppress(self._psycopg.Error):
                    if self._db is not None:
                        self._db.execute("ROLLBACK")
                raise
            finally:
                self._in_transaction = False

    def _begin(self) -> None:
        connection = self._connection()
        connection.execute("BEGIN")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITERS,))

    def _guarded(self, run: Callable[[], _T]) -> _T:
        """Do ``run``; once more on a new connection if the old one was found dead.

        Never twice within a transaction: its first half would be missing.
        """
        with self._lock:
            for again in (not self._in_transaction, False):
                try:
                    return run()
                except self._psycopg.IntegrityError:
                    raise IntegrityBroken from None
                except self._psycopg.Error as error:
                    lost = self._db is not None and self._db.closed
                    if lost:
                        self._db = None
                    if not (lost and again):
                        raise _unavailable(error) from None
            raise RuntimeError("unreachable")

    def _connection(self) -> psycopg.Connection[Any]:
        if self._db is None:
            self._db = self._psycopg.connect(self._url, autocommit=True, **_OPTIONS)
            self._db.execute(f"SET statement_timeout = {1000 * _SECONDS}".encode())
        return self._db

    def close(self) -> None:
        """See ``Database``."""
        if self._db is not None:
            self._db.close()


class PostgresStore(PostgresDatabase, SqlIdentityStore):
    """Identities; the arguments and errors of ``PostgresDatabase``."""

    def __init__(self, url: str) -> None:
        made = {0: schema("BYTEA", "BIGINT", "", "octet_length")}
        super().__init__(url, SCHEMA_VERSION, made, "schema_version")


class PostgresGrants(PostgresDatabase, grants.SqlGrantStore):
    """Grants; the arguments and errors of ``PostgresDatabase``."""

    def __init__(self, url: str) -> None:
        made = {0: grants.schema("BYTEA", "BIGINT", "")}
        super().__init__(url, grants.SCHEMA_VERSION, made, grants.VERSIONS_TABLE)


class PostgresLineage(PostgresDatabase, lineage.SqlLineageStore):
    """Lineage; the arguments and errors of ``PostgresDatabase``."""

    def __init__(self, url: str) -> None:
        made = {0: lineage.schema("BIGINT", "")}
        super().__init__(url, lineage.SCHEMA_VERSION, made, lineage.VERSIONS_TABLE)


class PostgresTuning(PostgresDatabase, tuning.SqlTuningStore):
    """Tuning jobs; the arguments and errors of ``PostgresDatabase``."""

    def __init__(self, url: str) -> None:
        made = tuning.upgrades("BYTEA", "BIGINT", "DOUBLE PRECISION", "")
        super().__init__(url, tuning.SCHEMA_VERSION, made, tuning.VERSIONS_TABLE)


def _unavailable(error: Exception) -> StrongroomError:
    return EnvironmentLacks(
        "store.unavailable",
        f"The PostgreSQL database cannot be used now: {type(error).__name__}.",
        action="Check that it runs, that this machine may connect, and its log.",
    )
