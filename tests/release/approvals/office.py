"""Approvers with real keys, a desk over a real SQLite file, and a clock for the tests to turn."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.ledger.entries import AnyEntry, Recorded, encode
from strongroom.release.approvals.approver_key import ApproverKey
from strongroom.release.approvals.approvers import Approvers
from strongroom.release.approvals.desk import Desk
from strongroom.release.approvals.documents import Subject
from strongroom.release.approvals.tally import Tally
from strongroom.store.grants import GrantStore, StoredRequest
from strongroom.store.sqlite import SqliteGrants

SUBJECT = Subject(model="acme/llama", release=3, manifest="aa" * 32, policy="bb" * 32)
HOUR = 3600


def key(name: str) -> ApproverKey:
    return ApproverKey(name, Ed25519PrivateKey.generate())


@dataclass
class Office:
    """A desk; ``ada``, ``bob`` and ``eve`` may approve, ``mallory`` may not."""

    store: GrantStore
    now: int = 1_800_000_000
    recorded: list[AnyEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ada, self.bob, self.eve = key("ada"), key("bob"), key("eve")
        self.mallory = key("mallory")
        self.listed = [one.approver for one in (self.ada, self.bob, self.eve)]
        self.desk = self.open()

    def open(self, approvers: Approvers | None = None) -> Desk:
        chosen = Approvers(self.listed) if approvers is None else approvers
        return Desk(self.store, chosen, self.record, lambda: self.now)

    def record(self, entry: AnyEntry) -> None:
        encode(Recorded(0, 0, entry))  # the ledger's own schema judges it
        self.recorded.append(entry)

    def ask(self, subject: Subject = SUBJECT, hours: int = 8) -> StoredRequest:
        return self.desk.request(
            subject, asked_by="cli:op", reason="release 3 to eu", not_after=self.now + hours * HOUR
        )

    def approve(self, who: ApproverKey, request: StoredRequest, hours: int = 8) -> Tally:
        vote = who.approve(
            request.document,
            reason="reviewed",
            created=self.now,
            not_after=self.now + hours * HOUR,
        )
        return self.desk.approve(vote)

    def revoke(self, who: ApproverKey, request: StoredRequest) -> None:
        self.desk.revoke(who.revoke(request.document, reason="stop", created=self.now))


def make_office(folder: Path) -> Office:
    return Office(SqliteGrants(folder / "grants.sqlite"))


def tamper(folder: Path, statement: str, *values: object) -> None:
    """What somebody does who can write the store's file."""
    with sqlite3.connect(folder / "grants.sqlite") as db:
        db.execute(statement, values)
