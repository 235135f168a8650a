"""What a store of tuning jobs promises: customers' files, jobs, what happened to them; as data.

A job is ``queued``, then ``running``, then one of ``succeeded``, ``failed`` and ``cancelled``, from
which nothing leads back. A runner that ends before its job does puts it back into the queue; one
that dies leaves it ``running``, and whoever finds it without a runner goes on with it.

Whose file or job it is stands in every row; methods that answer a customer take the organisation
and find nothing of another's. Datasets are kept as token ids; files as they came. No weight and no
checkpoint is kept here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from strongroom.errors import ConfigurationRefused
from strongroom.store import exports, sessions
from strongroom.store.closing import Closing
from strongroom.store.database import IntegrityBroken, Row

SCHEMA_VERSION: Final = 302
"""Far from the versions of the other stores, so that none opens another's file."""

VERSIONS_TABLE: Final = "tuning_schema_version"

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
OPEN: Final[frozenset[Status]] = frozenset({"queued", "running"})


class StoredFile(msgspec.Struct, frozen=True):
    """A customer's file without its content."""

    id: str
    organisation: str
    name: str
    size: int
    created_at: int


class StoredJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job without its dataset. Times are seconds since the epoch, 0 for not yet.

    ``model`` is what callers call the base, ``manifest`` the digest of its manifest, ``adapter``
    the name of what is made. ``recipe`` and ``metadata`` are JSON. ``dataset`` is the digest of the
    dataset, ``tokens`` what one pass over it has. ``loss`` is rounded, None before anything may
    show. ``error`` is a code, ``reason`` its sentence.
    """

    id: str
    organisation: str
    model: str
    manifest: str
    adapter: str
    training_file: str
    dataset: str
    examples: int
    tokens: int
    recipe: str
    steps: int
    created_at: int
    metadata: str = "{}"
    status: Status = "queued"
    started_at: int = 0
    finished_at: int = 0
    step: int = 0
    loss: float | None = None
    error: str = ""
    reason: str = ""


Allow = Callable[[Sequence[StoredJob]], None]
"""Told an organisation's jobs; raises if another may not be added to them."""


class StoredEvent(msgspec.Struct, frozen=True):
    """Something that happened to a job; ``step`` and ``loss`` where it is about a step."""

    job: str
    number: int
    at: int
    level: Literal["info", "error"]
    message: str
    step: int | None = None
    loss: float | None = None


class StoredCheckpoint(msgspec.Struct, frozen=True):
    """That a job could go on from ``step``."""

    job: str
    step: int
    at: int
    loss: float | None


class TuningStore(Closing, exports.ExportStore, sessions.SessionStore):
    """Files, jobs, sessions, what became of adapters.

    Every change is durable when the method returns. Errors are ``StrongroomError``: ``store.*``.
    """

    @abstractmethod
    def add_file(self, file: StoredFile, content: bytes) -> None:
        """Keep a new file."""

    @abstractmethod
    def files(self, organisation: str) -> tuple[StoredFile, ...]:
        """An organisation's files, newest first."""

    @abstractmethod
    def file(self, organisation: str, file_id: str) -> StoredFile | None:
        """A file of this organisation; None if it has none of this id."""

    @abstractmethod
    def content(self, organisation: str, file_id: str) -> bytes | None:
        """A file's content; None as for ``file``."""

    @abstractmethod
    def delete_file(self, organisation: str, file_id: str) -> bool:
        """Forget a file; whether there was one. Jobs that were made from it keep their dataset."""

    @abstractmethod
    def add_job(self, job: StoredJob, dataset: bytes, allow: Allow | None = None) -> None:
        """Keep a new job, unless ``allow`` raises; no other job is added meanwhile."""

    @abstractmethod
    def job(self, job_id: str) -> StoredJob | None:
        """The job of this id, whoever's it is."""

    @abstractmethod
    def jobs(self, organisation: str | None = None) -> tuple[StoredJob, ...]:
        """An organisation's jobs, or all; newest first."""

    @abstractmethod
    def dataset(self, job_id: str) -> bytes:
        """A job's dataset; empty if there is no such job."""

    @abstractmethod
    def begin(self, job_id: str, at: int) -> bool:
        """A queued or running job has a runner now; False if it is neither."""

    @abstractmethod
    def advance(self, job_id: str, step: int, loss: float | None) -> bool:
        """A running job did ``step`` steps; False if it is no longer running."""

    @abstractmethod
    def requeue(self, job_id: str) -> bool:
        """A running job has no runner any more; False if it is not running."""

    @abstractmethod
    def end(
        self, job_id: str, status: Status, at: int, *, error: str = "", reason: str = ""
    ) -> bool:
        """A queued or running job ends; False if it had ended. Its dataset is forgotten."""

    @abstractmethod
    def add_event(self, event: StoredEvent) -> None:
        """Something happened; ``number`` is given anew."""

    @abstractmethod
    def events(self, job_id: str) -> tuple[StoredEvent, ...]:
        """What happened, newest first."""

    @abstractmethod
    def add_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """A checkpoint was kept."""

    @abstractmethod
    def checkpoints(self, job_id: str) -> tuple[StoredCheckpoint, ...]:
        """A job's checkpoints, newest first."""


_FILE: Final = ", ".join(StoredFile.__struct_fields__)
_JOB: Final = ", ".join(StoredJob.__struct_fields__)
_MARKS: Final = ", ".join("?" * len(StoredJob.__struct_fields__))


class SqlTuningStore(exports.SqlExportStore, sessions.SqlSessionStore, TuningStore):
    """The statements, for any database."""

    def add_file(self, file: StoredFile, content: bytes) -> None:
        """See ``TuningStore``."""
        self._add(
            f"INSERT INTO tuning_files ({_FILE}, content, place) VALUES (?, ?, ?, ?, ?, ?, "  # noqa: S608
            f"{_next_place('tuning_files')})",
            (*msgspec.structs.astuple(file), content),
        )

    def files(self, organisation: str) -> tuple[StoredFile, ...]:
        """See ``TuningStore``."""
        rows = self._rows(
            f"SELECT {_FILE} FROM tuning_files WHERE organisation = ? "  # noqa: S608
            "ORDER BY place DESC",
            (organisation,),
        )
        return tuple(StoredFile(*row) for row in rows)

    def file(self, organisation: str, file_id: str) -> StoredFile | None:
        """See ``TuningStore``."""
        rows = self._rows(
            f"SELECT {_FILE} FROM tuning_files WHERE id = ? AND organisation = ?",  # noqa: S608
            (file_id, organisation),
        )
        return StoredFile(*rows[0]) if rows else None

    def content(self, organisation: str, file_id: str) -> bytes | None:
        """See ``TuningStore``."""
        rows = self._rows(
            "SELECT content FROM tuning_files WHERE id = ? AND organisation = ?",
            (file_id, organisation),
        )
        return bytes(rows[0][0]) if rows else None

    def delete_file(self, organisation: str, file_id: str) -> bool:
        """See ``TuningStore``."""
        return self._change(
            "DELETE FROM tuning_files WHERE id = ? AND organisation = ?", (file_id, organisation)
        )

    def add_job(self, job: StoredJob, dataset: bytes, allow: Allow | None = None) -> None:
        """See ``TuningStore``."""
        self._add(
            f"INSERT INTO tuning_jobs ({_JOB}, data, place) VALUES ({_MARKS}, ?, "  # noqa: S608
            f"{_next_place('tuning_jobs')})",
            (*msgspec.structs.astuple(job), dataset),
            lambda: allow(self.jobs(job.organisation)) if allow else None,
        )

    def job(self, job_id: str) -> StoredJob | None:
        """See ``TuningStore``."""
        rows = self._rows(f"SELECT {_JOB} FROM tuning_jobs WHERE id = ?", (job_id,))  # noqa: S608
        return _job(rows[0]) if rows else None

    def jobs(self, organisation: str | None = None) -> tuple[StoredJob, ...]:
        """See ``TuningStore``."""
        only = "" if organisation is None else "WHERE organisation = ?"
        rows = self._rows(
            f"SELECT {_JOB} FROM tuning_jobs {only} ORDER BY place DESC",  # noqa: S608
            () if organisation is None else (organisation,),
        )
        return tuple(map(_job, rows))

    def dataset(self, job_id: str) -> bytes:
        """See ``TuningStore``."""
        rows = self._rows("SELECT data FROM tuning_jobs WHERE id = ?", (job_id,))
        return bytes(rows[0][0]) if rows else b""

    def begin(self, job_id: str, at: int) -> bool:
        """See ``TuningStore``."""
        return self._change(
            "UPDATE tuning_jobs SET status = 'running', "
            "started_at = CASE WHEN started_at = 0 THEN ? ELSE started_at END "
            "WHERE id = ? AND status IN ('queued', 'running')",
            (at, job_id),
        )

    def advance(self, job_id: str, step: int, loss: float | None) -> bool:
        """See ``TuningStore``."""
        return self._change(
            "UPDATE tuning_jobs SET step = ?, loss = ? WHERE id = ? AND status = 'running'",
            (step, loss, job_id),
        )

    def requeue(self, job_id: str) -> bool:
        """See ``TuningStore``."""
        return self._change(
            "UPDATE tuning_jobs SET status = 'queued' WHERE id = ? AND status = 'running'",
            (job_id,),
        )

    def end(
        self, job_id: str, status: Status, at: int, *, error: str = "", reason: str = ""
    ) -> bool:
        """See ``TuningStore``."""
        return self._change(
            "UPDATE tuning_jobs SET status = ?, finished_at = ?, error = ?, reason = ?, data = ? "
            "WHERE id = ? AND status IN ('queued', 'running')",
            (status, at, error, reason, b"", job_id),
        )

    def add_event(self, event: StoredEvent) -> None:
        """See ``TuningStore``."""
        self._add(
            "INSERT INTO tuning_events (job, number, at, level, message, step, loss) VALUES "
            "(?, (SELECT count(*) FROM tuning_events WHERE job = ?), ?, ?, ?, ?, ?)",
            (event.job, event.job, event.at, event.level, event.message, event.step, event.loss),
        )

    def events(self, job_id: str) -> tuple[StoredEvent, ...]:
        """See ``TuningStore``."""
        rows = self._rows(
            "SELECT job, number, at, level, message, step, loss FROM tuning_events "
            "WHERE job = ? ORDER BY number DESC",
            (job_id,),
        )
        return tuple(StoredEvent(*row) for row in rows)

    def add_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """See ``TuningStore``."""
        self._add(
            "INSERT INTO tuning_checkpoints (job, step, at, loss) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            msgspec.structs.astuple(checkpoint),
        )

    def checkpoints(self, job_id: str) -> tuple[StoredCheckpoint, ...]:
        """See ``TuningStore``."""
        rows = self._rows(
            "SELECT job, step, at, loss FROM tuning_checkpoints WHERE job = ? ORDER BY step DESC",
            (job_id,),
        )
        return tuple(StoredCheckpoint(*row) for row in rows)

    def _add(
        self,
        statement: str,
        values: Sequence[object],
        first: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            with self._transaction():
                first()
                self._rows(statement, values)
        except IntegrityBroken:
            raise ConfigurationRefused(
                "store.duplicate_tuning",
                "This file or job is there already, or belongs to none.",
                action="Try again.",
            ) from None

    def _change(self, statement: str, values: Sequence[object]) -> bool:
        """Whether a row was changed."""
        with self._transaction():
            return bool(self._rows(f"{statement} RETURNING id", values))


def _next_place(table: str) -> str:
    """The order in which rows came, which seconds do not tell; deleted rows leave gaps."""
    return f"(SELECT coalesce(max(place), 0) + 1 FROM {table})"  # noqa: S608


def schema(blob: str, integer: str, real: str, strict: str) -> list[str]:
    """The statements that make the tables, in the words of one database."""
    return [
        "CREATE TABLE tuning_files (id TEXT PRIMARY KEY NOT NULL, organisation TEXT NOT NULL, "
        f"name TEXT NOT NULL, size {integer} NOT NULL, created_at {integer} NOT NULL, "
        f"content {blob} NOT NULL, place {integer} NOT NULL){strict}",
        "CREATE INDEX tuning_files_of_organisation ON tuning_files (organisation)",
        "CREATE TABLE tuning_jobs (id TEXT PRIMARY KEY NOT NULL, organisation TEXT NOT NULL, "
        "model TEXT NOT NULL, manifest TEXT NOT NULL, adapter TEXT NOT NULL UNIQUE, "
        f"training_file TEXT NOT NULL, dataset TEXT NOT NULL, examples {integer} NOT NULL, "
        f"tokens {integer} NOT NULL, recipe TEXT NOT NULL, steps {integer} NOT NULL, "
        f"created_at {integer} NOT NULL, metadata TEXT NOT NULL, status TEXT NOT NULL CHECK "
        "(status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')), "
        f"started_at {integer} NOT NULL, finished_at {integer} NOT NULL, step {integer} NOT NULL, "
        f"loss {real}, error TEXT NOT NULL, reason TEXT NOT NULL, data {blob} NOT NULL, "
        f"place {integer} NOT NULL){strict}",
        "CREATE INDEX tuning_jobs_of_organisation ON tuning_jobs (organisation)",
        "CREATE TABLE tuning_events (job TEXT NOT NULL REFERENCES tuning_jobs (id), "
        f"number {integer} NOT NULL, at {integer} NOT NULL, level TEXT NOT NULL, "
        f"message TEXT NOT NULL, step {integer}, loss {real}, PRIMARY KEY (job, number)){strict}",
        "CREATE TABLE tuning_checkpoints (job TEXT NOT NULL REFERENCES tuning_jobs (id), "
        f"step {integer} NOT NULL, at {integer} NOT NULL, loss {real}, "
        f"PRIMARY KEY (job, step)){strict}",
        *exports.schema(integer, real, strict),
        *sessions.schema(blob, integer, strict),
    ]


def upgrades(blob: str, integer: str, real: str, strict: str) -> dict[int, list[str]]:
    """The statements that lead to the tables from each earlier version; from 0, a new database."""
    return {
        0: schema(blob, integer, real, strict),
        301: sessions.schema(blob, integer, strict),
    }


def open_tuning_store(address: str) -> TuningStore:
    """A PostgreSQL database if ``address`` is its URL, else the SQLite file at this path.

    Raises:
        StrongroomError: ``store.*``; see the adapters.
    """
    if address.startswith(("postgresql://", "postgres://")):
        from strongroom.store.postgres import PostgresTuning

        return PostgresTuning(address)
    from strongroom.store.sqlite import SqliteTuning

    return SqliteTuning(Path(address))


def _job(row: Row) -> StoredJob:
    return StoredJob(**dict(zip(StoredJob.__struct_fields__, row, strict=True)))
