"""What left of an organisation's adapters, and which of them a name means.

Both tables stand in the database of tuning jobs. An export is counted, once and for ever, in the
same transaction that looks whether it may be: two gates at once cannot both be the last. It is
counted before the file leaves, so a crash between the two costs a place and no adapter.

A name (``base:NAME`` at the door) means the adapter of the newest promotion that was not rolled
back. Promotions are kept; to roll back is to end the newest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import msgspec

from strongroom.errors import ConfigurationRefused
from strongroom.store.database import Database


class StoredExport(msgspec.Struct, frozen=True):
    """An adapter that left. ``manifest``: the base's; ``file``: SHA-256 of the encrypted file.

    ``epsilon`` is None where the job had no bound. ``at`` is Unix time.
    """

    job: str
    organisation: str
    manifest: str
    dataset: str
    epsilon: float | None
    file: str
    at: int


class StoredPromotion(msgspec.Struct, frozen=True):
    """That ``name`` of a base means the adapter of ``job``; ``ended_at`` 0 while it does.

    ``model`` is what callers call the base, ``manifest`` the digest of its manifest. ``gate`` is
    the SHA-256 of the verdict that it was promoted on.
    """

    organisation: str
    model: str
    name: str
    job: str
    manifest: str
    gate: str
    at: int
    ended_at: int = 0


class ExportStore(ABC):
    """Exports and promotions. Every change is durable when the method returns."""

    @abstractmethod
    def add_export(self, export: StoredExport, most: int) -> int:
        """Count an export; its number among those of this base to this organisation, from 1.

        Raises:
            ConfigurationRefused: ``store.export_refused``: ``most`` have left, one of them from the
                same data, or this job's.
        """

    @abstractmethod
    def exports(self, organisation: str, manifest: str) -> tuple[StoredExport, ...]:
        """What left of this base to this organisation, oldest first."""

    @abstractmethod
    def promote(self, promotion: StoredPromotion) -> None:
        """The name means this adapter from now on."""

    @abstractmethod
    def roll_back(self, organisation: str, model: str, name: str, at: int) -> bool:
        """End the newest promotion of the name; whether there was one."""

    @abstractmethod
    def promoted(self, organisation: str, model: str, name: str) -> StoredPromotion | None:
        """What the name means now; None if nothing."""

    @abstractmethod
    def promotions(self, organisation: str | None = None) -> tuple[StoredPromotion, ...]:
        """All that are not rolled back, newest first."""


_EXPORT: Final = ", ".join(StoredExport.__struct_fields__)
_PROMOTION: Final = ", ".join(StoredPromotion.__struct_fields__)


class SqlExportStore(Database, ExportStore):
    """The statements, for any database."""

    def add_export(self, export: StoredExport, most: int) -> int:
        """See ``ExportStore``."""
        with self._transaction():
            before = self.exports(export.organisation, export.manifest)
            repeats = any(
                export.dataset == each.dataset or export.job == each.job for each in before
            )
            if repeats or len(before) >= most:
                raise ConfigurationRefused(
                    "store.export_refused",
                    "No further adapter of this base and these data may leave to this tenant.",
                    action="Serve the adapter instead.",
                )
            self._rows(
                f"INSERT INTO adapter_exports ({_EXPORT}, place) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(export), len(before) + 1),
            )
        return len(before) + 1

    def exports(self, organisation: str, manifest: str) -> tuple[StoredExport, ...]:
        """See ``ExportStore``."""
        rows = self._rows(
            f"SELECT {_EXPORT} FROM adapter_exports "  # noqa: S608
            "WHERE organisation = ? AND manifest = ? ORDER BY place",
            (organisation, manifest),
        )
        return tuple(StoredExport(*row) for row in rows)

    def promote(self, promotion: StoredPromotion) -> None:
        """See ``ExportStore``."""
        with self._transaction():
            self._rows(
                f"INSERT INTO adapter_promotions ({_PROMOTION}, place) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, "
                "(SELECT coalesce(max(place), 0) + 1 FROM adapter_promotions))",
                msgspec.structs.astuple(promotion),
            )

    def roll_back(self, organisation: str, model: str, name: str, at: int) -> bool:
        """See ``ExportStore``."""
        with self._transaction():
            ended = self._rows(
                "UPDATE adapter_promotions SET ended_at = ? WHERE place = (SELECT max(place) FROM "
                "adapter_promotions WHERE organisation = ? AND model = ? AND name = ? "
                "AND ended_at = 0) RETURNING place",
                (at, organisation, model, name),
            )
        return bool(ended)

    def promoted(self, organisation: str, model: str, name: str) -> StoredPromotion | None:
        """See ``ExportStore``."""
        found = self._promotions(
            "organisation = ? AND model = ? AND name = ?", (organisation, model, name)
        )
        return found[0] if found else None

    def promotions(self, organisation: str | None = None) -> tuple[StoredPromotion, ...]:
        """See ``ExportStore``."""
        if organisation is None:
            return self._promotions("1 = 1", ())
        return self._promotions("organisation = ?", (organisation,))

    def _promotions(self, where: str, values: Sequence[object]) -> tuple[StoredPromotion, ...]:
        rows = self._rows(
            f"SELECT {_PROMOTION} FROM adapter_promotions WHERE {where} AND ended_at = 0 "  # noqa: S608
            "ORDER BY place DESC",
            values,
        )
        return tuple(StoredPromotion(*row) for row in rows)


def schema(integer: str, real: str, strict: str) -> list[str]:
    """The statements that make the tables, in the words of one database."""
    return [
        "CREATE TABLE adapter_exports (job TEXT NOT NULL REFERENCES tuning_jobs (id), "
        "organisation TEXT NOT NULL, manifest TEXT NOT NULL, dataset TEXT NOT NULL, "
        f"epsilon {real}, file TEXT NOT NULL, at {integer} NOT NULL, place {integer} NOT NULL, "
        f"PRIMARY KEY (organisation, manifest, place)){strict}",
        "CREATE TABLE adapter_promotions (organisation TEXT NOT NULL, model TEXT NOT NULL, "
        "name TEXT NOT NULL, job TEXT NOT NULL REFERENCES tuning_jobs (id), "
        f"manifest TEXT NOT NULL, gate TEXT NOT NULL, at {integer} NOT NULL, "
        f"ended_at {integer} NOT NULL, place {integer} PRIMARY KEY NOT NULL){strict}",
    ]
