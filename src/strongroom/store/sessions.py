"""Sessions of training that a customer steers, and what was asked of them: Tinker's primitives.

The gateway adds requests, the runner that holds a session answers them in order, and the gateway
shows what became of them: neither waits for the other. Both tables stand in the database of tuning
jobs. A session is ``waiting`` for a runner, then ``live``, then ``over``, from which nothing leads
back. A request is ``waiting``, then ``done`` or ``refused``.

Whose session or request it is stands in every row. What a customer sent is forgotten once it is
answered; no weight is kept here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from strongroom.store.database import Database

SessionStatus = Literal["waiting", "live", "over"]
RequestStatus = Literal["waiting", "done", "refused"]
RequestKind = Literal["learn", "update", "save", "sample"]


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session. Times are seconds since the epoch.

    ``model`` is what callers call the base, ``manifest`` the digest of its manifest, ``recipe``
    JSON. ``used_at`` is when it was last asked for something. ``reason`` says why it is over.
    """

    id: str
    organisation: str
    model: str
    manifest: str
    recipe: str
    created_at: int
    used_at: int
    status: SessionStatus = "waiting"
    step: int = 0
    reason: str = ""


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Something asked, and what became of it; without its payload.

    ``session`` is empty for a sample, which a gateway answers by itself. ``number`` orders those of
    a session. ``result`` is JSON, a sample's the bytes that its caller is sent. ``error`` is a
    code, ``reason`` its sentence.
    """

    id: str
    organisation: str
    session: str
    number: int
    kind: RequestKind
    at: int
    status: RequestStatus = "waiting"
    result: bytes = b""
    error: str = ""
    reason: str = ""


class SessionStore(ABC):
    """Sessions and requests. Every change is durable when the method returns."""

    @abstractmethod
    def add_session(self, session: StoredSession, most: int) -> bool:
        """Keep a new session; False if the organisation has ``most`` already that are not over.

        One of this id that is there already stays as it is.
        """

    @abstractmethod
    def session(self, session_id: str) -> StoredSession | None:
        """The session of this id, whoever's it is."""

    @abstractmethod
    def open_sessions(self, manifest: str) -> tuple[StoredSession, ...]:
        """Those over a base that are not over, oldest first."""

    @abstractmethod
    def session_is(self, session_id: str, status: SessionStatus, reason: str = "") -> bool:
        """Change what a session is; False if it was over. Once over, what waits is refused."""

    @abstractmethod
    def session_used(self, session_id: str, at: int) -> None:
        """Somebody waits for a session."""

    @abstractmethod
    def session_stepped(self, session_id: str, step: int) -> None:
        """A session has done so many steps."""

    @abstractmethod
    def add_request(self, request: StoredRequest, payload: bytes, most: int) -> bool:
        """Keep a request; False if ``most`` of its session wait already.

        One of this id that is there already stays as it is.
        """

    @abstractmethod
    def next_request(self, session_id: str) -> tuple[StoredRequest, bytes] | None:
        """The first of a session that waits, and its payload."""

    @abstractmethod
    def answer_request(
        self, request_id: str, result: bytes, *, error: str = "", reason: str = ""
    ) -> None:
        """A request is done, or with ``error`` refused; its payload is forgotten."""

    @abstractmethod
    def request(self, organisation: str, request_id: str) -> StoredRequest | None:
        """An organisation's request; None if it has none of this id."""

    @abstractmethod
    def forget_requests(self, before: int) -> None:
        """Forget requests that were answered and are older."""


_SESSION: Final = ", ".join(StoredSession.__struct_fields__)
_REQUEST: Final = ", ".join(StoredRequest.__struct_fields__)


class SqlSessionStore(Database, SessionStore):
    """The statements, for any database."""

    def add_session(self, session: StoredSession, most: int) -> bool:
        """See ``SessionStore``."""
        with self._transaction():
            if self.session(session.id) is not None:
                return True
            (row,) = self._rows(
                "SELECT count(*) FROM tuning_sessions WHERE organisation = ? AND status != 'over'",
                (session.organisation,),
            )
            if row[0] >= most:
                return False
            self._rows(
                f"INSERT INTO tuning_sessions ({_SESSION}, place) VALUES "  # noqa: S608
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                "(SELECT coalesce(max(place), 0) + 1 FROM tuning_sessions))",
                msgspec.structs.astuple(session),
            )
        return True

    def session(self, session_id: str) -> StoredSession | None:
        """See ``SessionStore``."""
        found = self._sessions("id = ?", (session_id,))
        return found[0] if found else None

    def open_sessions(self, manifest: str) -> tuple[StoredSession, ...]:
        """See ``SessionStore``."""
        return self._sessions("manifest = ? AND status != 'over'", (manifest,))

    def session_is(self, session_id: str, status: SessionStatus, reason: str = "") -> bool:
        """See ``SessionStore``."""
        with self._transaction():
            changed = self._rows(
                "UPDATE tuning_sessions SET status = ?, reason = ? WHERE id = ? "
                "AND status != 'over' RETURNING id",
                (status, reason, session_id),
            )
            if status == "over":
                self._rows(
                    "UPDATE tuning_requests SET status = 'refused', payload = ?, error = ?, "
                    "reason = ? WHERE session = ? AND status = 'waiting'",
                    (b"", "tune.session_over", reason, session_id),
                )
        return bool(changed)

    def session_used(self, session_id: str, at: int) -> None:
        """See ``SessionStore``."""
        with self._transaction():
            self._rows("UPDATE tuning_sessions SET used_at = ? WHERE id = ?", (at, session_id))

    def session_stepped(self, session_id: str, step: int) -> None:
        """See ``SessionStore``."""
        with self._transaction():
            self._rows("UPDATE tuning_sessions SET step = ? WHERE id = ?", (step, session_id))

    def add_request(self, request: StoredRequest, payload: bytes, most: int) -> bool:
        """See ``SessionStore``."""
        with self._transaction():
            if self.request(request.organisation, request.id) is not None:
                return True
            (row,) = self._rows(
                "SELECT count(*) FROM tuning_requests WHERE session = ? AND status = 'waiting'",
                (request.session,),
            )
            if request.status == "waiting" and row[0] >= most:
                return False
            self._rows(
                f"INSERT INTO tuning_requests ({_REQUEST}, payload) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(request), payload),
            )
            self._rows(
                "UPDATE tuning_sessions SET used_at = ? WHERE id = ?", (request.at, request.session)
            )
        return True

    def next_request(self, session_id: str) -> tuple[StoredRequest, bytes] | None:
        """See ``SessionStore``."""
        rows = self._rows(
            f"SELECT {_REQUEST}, payload FROM tuning_requests WHERE session = ? "  # noqa: S608
            "AND status = 'waiting' ORDER BY number LIMIT 1",
            (session_id,),
        )
        return (_request(rows[0][:-1]), bytes(rows[0][-1])) if rows else None

    def answer_request(
        self, request_id: str, result: bytes, *, error: str = "", reason: str = ""
    ) -> None:
        """See ``SessionStore``."""
        with self._transaction():
            self._rows(
                "UPDATE tuning_requests SET status = ?, result = ?, payload = ?, error = ?, "
                "reason = ? WHERE id = ? AND status = 'waiting'",
                ("refused" if error else "done", result, b"", error, reason, request_id),
            )

    def request(self, organisation: str, request_id: str) -> StoredRequest | None:
        """See ``SessionStore``."""
        rows = self._rows(
            f"SELECT {_REQUEST} FROM tuning_requests WHERE id = ? AND organisation = ?",  # noqa: S608
            (request_id, organisation),
        )
        return _request(rows[0]) if rows else None

    def forget_requests(self, before: int) -> None:
        """See ``SessionStore``."""
        with self._transaction():
            self._rows(
                "DELETE FROM tuning_requests WHERE status != 'waiting' AND at < ?", (before,)
            )

    def _sessions(self, where: str, values: Sequence[object]) -> tuple[StoredSession, ...]:
        rows = self._rows(
            f"SELECT {_SESSION} FROM tuning_sessions WHERE {where} ORDER BY place",  # noqa: S608
            values,
        )
        return tuple(
            StoredSession(**dict(zip(StoredSession.__struct_fields__, row, strict=True)))
            for row in rows
        )


def _request(row: Sequence[object]) -> StoredRequest:
    values = dict(zip(StoredRequest.__struct_fields__, row, strict=True))
    values["result"] = bytes(values["result"])  # type: ignore[call-overload]
    return StoredRequest(**values)  # type: ignore[arg-type]


def schema(blob: str, integer: str, strict: str) -> list[str]:
    """The statements that make the tables, in the words of one database."""
    return [
        "CREATE TABLE tuning_sessions (id TEXT PRIMARY KEY NOT NULL, organisation TEXT NOT NULL, "
        f"model TEXT NOT NULL, manifest TEXT NOT NULL, recipe TEXT NOT NULL, "
        f"created_at {integer} NOT NULL, used_at {integer} NOT NULL, status TEXT NOT NULL CHECK "
        f"(status IN ('waiting', 'live', 'over')), step {integer} NOT NULL, "
        f"reason TEXT NOT NULL, place {integer} NOT NULL){strict}",
        "CREATE TABLE tuning_requests (id TEXT PRIMARY KEY NOT NULL, organisation TEXT NOT NULL, "
        f"session TEXT NOT NULL, number {integer} NOT NULL, kind TEXT NOT NULL, "
        f"at {integer} NOT NULL, status TEXT NOT NULL CHECK "
        f"(status IN ('waiting', 'done', 'refused')), result {blob} NOT NULL, "
        f"error TEXT NOT NULL, reason TEXT NOT NULL, payload {blob} NOT NULL){strict}",
        "CREATE INDEX tuning_requests_of_session ON tuning_requests (session, status, number)",
    ]
