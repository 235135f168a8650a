"""What a store of grants promises: requests for approval and the signed votes on them, as bytes.

The store is not trusted. It keeps documents as they were signed; whoever reads them verifies them
(``release.approvals``), so that nobody gains an approval by writing here. What it *can* do is lose
a row: keep it where only key release and its operators write. Rows are added and never changed.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from strongroom.errors import ConfigurationRefused, StrongroomError
from strongroom.store.closing import Closing
from strongroom.store.database import Database, IntegrityBroken, Row

SCHEMA_VERSION = 101
"""Far from the versions of the store of identities, so that neither opens the other's file."""

VERSIONS_TABLE = "grants_schema_version"

VoteKind = Literal["approval", "revocation"]


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request for approval: its id, the digest of the manifest that it is about, its bytes."""

    id: str
    manifest: str
    document: bytes


@dataclass(frozen=True, slots=True)
class StoredVote:
    """An approval or a revocation as it was signed. ``approver`` is the name it claims."""

    request: str
    approver: str
    kind: VoteKind
    document: bytes
    signature: bytes


class GrantStore(Closing):
    """Requests and votes. Every change is durable when the method returns.

    Errors are ``StrongroomError`` with a code ``store.*``.
    """

    @abstractmethod
    def add_request(self, request: StoredRequest) -> None:
        """Keep a new request; ``store.duplicate_grant`` if its id is there."""

    @abstractmethod
    def request(self, request_id: str) -> StoredRequest | None:
        """The request with this id; None if there is none."""

    @abstractmethod
    def requests(self, manifest: str | None = None) -> tuple[StoredRequest, ...]:
        """All requests, or those about one manifest, oldest first."""

    @abstractmethod
    def add_vote(self, vote: StoredVote) -> None:
        """Keep a vote.

        Raises:
            ConfigurationRefused: ``store.no_grant`` (no such request), ``store.duplicate_vote``
                (this approver cast a vote of this kind on it before).
        """

    @abstractmethod
    def votes(self, request_id: str) -> tuple[StoredVote, ...]:
        """All votes on a request, oldest first."""


class SqlGrantStore(Database, GrantStore):
    """The statements, for any database."""

    def add_request(self, request: StoredRequest) -> None:
        """See ``GrantStore``."""
        try:
            with self._transaction():
                self._rows(
                    "INSERT INTO grant_requests (place, id, manifest, document) "
                    "VALUES ((SELECT count(*) FROM grant_requests), ?, ?, ?)",
                    (request.id, request.manifest, request.document),
                )
        except IntegrityBroken:
            raise _refused(
                "store.duplicate_grant", "This request for approval is there already."
            ) from None

    def request(self, request_id: str) -> StoredRequest | None:
        """See ``GrantStore``."""
        statement = "SELECT id, manifest, document FROM grant_requests WHERE id = ?"
        rows = self._rows(statement, (request_id,))
        return _request(rows[0]) if rows else None

    def requests(self, manifest: str | None = None) -> tuple[StoredRequest, ...]:
        """See ``GrantStore``."""
        only = "" if manifest is None else "WHERE manifest = ?"
        rows = self._rows(
            f"SELECT id, manifest, document FROM grant_requests {only} ORDER BY place",  # noqa: S608
            () if manifest is None else (manifest,),
        )
        return tuple(map(_request, rows))

    def add_vote(self, vote: StoredVote) -> None:
        """See ``GrantStore``."""
        if self.request(vote.request) is None:
            raise _refused("store.no_grant", f"There is no request for approval {vote.request}.")
        try:
            with self._transaction():
                self._rows(
                    "INSERT INTO grant_votes "
                    "(place, request, approver, kind, document, signature) "
                    "VALUES ((SELECT count(*) FROM grant_votes), ?, ?, ?, ?, ?)",
                    (vote.request, vote.approver, vote.kind, vote.document, vote.signature),
                )
        except IntegrityBroken:
            raise _refused(
                "store.duplicate_vote",
                f"{vote.approver} has cast this kind of vote on the request already.",
            ) from None

    def votes(self, request_id: str) -> tuple[StoredVote, ...]:
        """See ``GrantStore``."""
        rows = self._rows(
            "SELECT request, approver, kind, document, signature FROM grant_votes "
            "WHERE request = ? ORDER BY place",
            (request_id,),
        )
        return tuple(
            StoredVote(request, approver, kind, bytes(document), bytes(signature))
            for request, approver, kind, document, signature in rows
        )


def schema(blob: str, integer: str, strict: str) -> list[str]:
    """The statements that make the tables, in the words of one database."""
    return [
        f"CREATE TABLE grant_requests (place {integer} NOT NULL UNIQUE, "
        f"id TEXT PRIMARY KEY NOT NULL, manifest TEXT NOT NULL, document {blob} NOT NULL){strict}",
        "CREATE INDEX grant_requests_of_manifest ON grant_requests (manifest)",
        f"CREATE TABLE grant_votes (place {integer} NOT NULL UNIQUE, "
        "request TEXT NOT NULL REFERENCES grant_requests (id), approver TEXT NOT NULL, "
        "kind TEXT NOT NULL CHECK (kind IN ('approval', 'revocation')), "
        f"document {blob} NOT NULL, signature {blob} NOT NULL, "
        f"PRIMARY KEY (request, approver, kind)){strict}",
    ]


def open_grant_store(address: str) -> GrantStore:
    """A PostgreSQL database if ``address`` is its URL, else the SQLite file at this path.

    Raises:
        StrongroomError: ``store.*``; see the adapters.
    """
    if address.startswith(("postgresql://", "postgres://")):
        from strongroom.store.postgres import PostgresGrants

        return PostgresGrants(address)
    from strongroom.store.sqlite import SqliteGrants

    return SqliteGrants(Path(address))


def _request(row: Row) -> StoredRequest:
    request_id, manifest, document = row
    return StoredRequest(request_id, manifest, bytes(document))


def _refused(code: str, message: str) -> StrongroomError:
    return ConfigurationRefused(
        code, message, action="List what there is with `strongroom grant list`."
    )
