"""What a store of lineage promises: which models are revoked, and what was made from what.

Rows are added and never changed or taken away. Whoever can write here can let a revoked model go
again: keep it where only key release and its operators write. What rows mean is for
``release.lineage`` to say.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

from strongroom.errors import ConfigurationRefused
from strongroom.store.closing import Closing
from strongroom.store.database import Database, IntegrityBroken

SCHEMA_VERSION = 201
"""Far from the versions of other stores, so that none opens another's file."""

VERSIONS_TABLE = "lineage_schema_version"


@dataclass(frozen=True, slots=True)
class Named:
    """One release of a model: its id, its number, the digest of its manifest (hex)."""

    model: str
    release: int
    manifest: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """A model that is revoked: release 0 is all of them; an empty name or manifest names none."""

    model: str
    release: int
    manifest: str
    reason: str
    revoked_by: str
    at: int


@dataclass(frozen=True, slots=True)
class Derivation:
    """``made`` was made from ``source``."""

    made: Named
    source: Named
    noted_by: str
    at: int


class LineageStore(Closing):
    """Revocations and derivations. Every change is durable when the method returns.

    Errors are ``StrongroomError`` with a code ``store.*``.
    """

    @abstractmethod
    def revoke(self, revocation: Revocation) -> None:
        """Keep a revocation; one of the same release before it does no harm."""

    @abstractmethod
    def revocations(self) -> tuple[Revocation, ...]:
        """All of them, oldest first."""

    @abstractmethod
    def derive(self, derivation: Derivation) -> None:
        """Keep a derivation; ``store.duplicate_derivation`` if it is there."""

    @abstractmethod
    def derivations(self) -> tuple[Derivation, ...]:
        """All of them, oldest first."""


class SqlLineageStore(Database, LineageStore):
    """The statements, for any database."""

    def revoke(self, revocation: Revocation) -> None:
        """See ``LineageStore``."""
        each = revocation
        with self._transaction():
            self._rows(
                "INSERT INTO lineage_revocations "
                "(place, model, release, manifest, reason, revoked_by, at) "
                "VALUES ((SELECT count(*) FROM lineage_revocations), ?, ?, ?, ?, ?, ?)",
                (each.model, each.release, each.manifest, each.reason, each.revoked_by, each.at),
            )

    def revocations(self) -> tuple[Revocation, ...]:
        """See ``LineageStore``."""
        rows = self._rows(
            "SELECT model, release, manifest, reason, revoked_by, at FROM lineage_revocations "
            "ORDER BY place"
        )
        return tuple(Revocation(*row) for row in rows)

    def derive(self, derivation: Derivation) -> None:
        """See ``LineageStore``."""
        made, source = derivation.made, derivation.source
        values = (
            *(made.model, made.release, made.manifest),
            *(source.model, source.release, source.manifest),
            *(derivation.noted_by, derivation.at),
        )
        try:
            with self._transaction():
                self._rows(
                    "INSERT INTO lineage_derivations (place, model, release, manifest, "
                    "source_model, source_release, source_manifest, noted_by, at) "
                    "VALUES ((SELECT count(*) FROM lineage_derivations), ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
        except IntegrityBroken:
            raise ConfigurationRefused(
                "store.duplicate_derivation",
                "That the one was made from the other is known already.",
                action="It is known; nothing needs to be done.",
            ) from None

    def derivations(self) -> tuple[Derivation, ...]:
        """See ``LineageStore``."""
        rows = self._rows(
            "SELECT model, release, manifest, source_model, source_release, source_manifest, "
            "noted_by, at FROM lineage_derivations ORDER BY place"
        )
        return tuple(
            Derivation(Named(*row[:3]), Named(*row[3:6]), noted_by=row[6], at=row[7])
            for row in rows
        )


def schema(integer: str, strict: str) -> list[str]:
    """The statements that make the tables, in the words of one database."""
    return [
        f"CREATE TABLE lineage_revocations (place {integer} NOT NULL UNIQUE, "
        f"model TEXT NOT NULL, release {integer} NOT NULL, manifest TEXT NOT NULL, "
        f"reason TEXT NOT NULL, revoked_by TEXT NOT NULL, at {integer} NOT NULL){strict}",
        f"CREATE TABLE lineage_derivations (place {integer} NOT NULL UNIQUE, "
        f"model TEXT NOT NULL, release {integer} NOT NULL, manifest TEXT NOT NULL, "
        f"source_model TEXT NOT NULL, source_release {integer} NOT NULL, "
        f"source_manifest TEXT NOT NULL, noted_by TEXT NOT NULL, at {integer} NOT NULL, "
        f"PRIMARY KEY (manifest, source_manifest)){strict}",
    ]


def open_lineage_store(address: str) -> LineageStore:
    """A PostgreSQL database if ``address`` is its URL, else the SQLite file at this path.

    Raises:
        StrongroomError: ``store.*``; see the adapters.
    """
    if address.startswith(("postgresql://", "postgres://")):
        from strongroom.store.postgres import PostgresLineage

        return PostgresLineage(address)
    from strongroom.store.sqlite import SqliteLineage

    return SqliteLineage(Path(address))
