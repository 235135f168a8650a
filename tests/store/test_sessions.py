"""The store of sessions, on both databases: requests in order, nobody finds another's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from strongroom.store import tuning
from strongroom.store.sessions import StoredRequest, StoredSession
from strongroom.store.tuning import TuningStore, open_tuning_store

SESSION = StoredSession(
    id="tune-1",
    organisation="acme",
    model="smol",
    manifest="aa" * 32,
    recipe="{}",
    created_at=100,
    used_at=100,
)


@pytest.fixture
def store(address: str) -> Iterator[TuningStore]:
    with open_tuning_store(address) as opened:
        yield opened


def request(number: int, session: str = "tune-1") -> StoredRequest:
    return StoredRequest(
        id=f"{session}-{number}",
        organisation="acme",
        session=session,
        number=number,
        kind="learn",
        at=100 + number,
    )


def test_a_session_lives_once_and_an_organisation_has_few(store: TuningStore) -> None:
    second, third = (msgspec.structs.replace(SESSION, id=f"tune-{n}") for n in (2, 3))
    assert store.add_session(SESSION, 2)
    assert store.add_session(SESSION, 2)  # asked again: still one
    assert store.add_session(second, 2)
    assert not store.add_session(third, 2)
    assert store.add_session(msgspec.structs.replace(third, organisation="other"), 2)
    assert [each.id for each in store.open_sessions("aa" * 32)] == ["tune-1", "tune-2", "tune-3"]
    assert store.open_sessions("bb" * 32) == ()
    assert store.session_is("tune-1", "live")
    store.session_stepped("tune-1", 7)
    found = store.session("tune-1")
    assert found == msgspec.structs.replace(SESSION, status="live", step=7)
    store.session_used("tune-1", 150)
    assert store.session("tune-1").used_at == 150  # type: ignore[union-attr]
    assert store.session_is("tune-1", "over", "idle")
    assert not store.session_is("tune-1", "live")  # nothing leads back
    assert store.session("tune-1").reason == "idle"  # type: ignore[union-attr]
    assert store.add_session(msgspec.structs.replace(SESSION, id="tune-4"), 2)


def test_requests_are_answered_in_order_and_forgotten(store: TuningStore) -> None:
    store.add_session(SESSION, 1)
    assert store.next_request("tune-1") is None
    assert store.add_request(request(2), b"two", 2)
    assert store.add_request(request(1), b"one", 2)
    assert store.add_request(request(1), b"again", 2)  # asked again: still one
    assert not store.add_request(request(3), b"three", 2)
    assert store.session("tune-1").used_at == 101  # type: ignore[union-attr]
    assert store.next_request("tune-1") == (request(1), b"one")
    store.answer_request("tune-1-1", b"{}")
    assert store.next_request("tune-1") == (request(2), b"two")
    store.answer_request("tune-1-2", b"", error="tune.too_early", reason="Too early.")
    assert store.next_request("tune-1") is None
    done = store.request("acme", "tune-1-1")
    assert done == msgspec.structs.replace(request(1), status="done", result=b"{}")
    refused = store.request("acme", "tune-1-2")
    assert refused is not None
    assert (refused.status, refused.error, refused.reason) == (
        "refused",
        "tune.too_early",
        "Too early.",
    )
    store.answer_request("tune-1-2", b"later")  # an answer stays what it was
    assert store.request("acme", "tune-1-2") == refused
    assert store.request("other", "tune-1-1") is None
    store.forget_requests(102)
    assert store.request("acme", "tune-1-1") is None
    assert store.request("acme", "tune-1-2") is not None


def test_what_waits_when_a_session_ends_is_refused(store: TuningStore) -> None:
    store.add_session(SESSION, 1)
    store.add_request(request(1), b"one", 9)
    store.session_is("tune-1", "over", "Nothing was asked of it.")
    found = store.request("acme", "tune-1-1")
    assert found is not None
    assert (found.status, found.error, found.reason) == (
        "refused",
        "tune.session_over",
        "Nothing was asked of it.",
    )


def test_a_database_of_the_version_before_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    made = tuning.upgrades("BLOB", "INTEGER", "REAL", " STRICT")
    added = set(made[301])
    with sqlite3.connect(path) as old:
        for statement in made[0]:
            if statement not in added:
                old.execute(statement)
        old.execute("PRAGMA user_version = 301")
    path.chmod(0o600)
    with open_tuning_store(str(path)) as opened:
        assert opened.add_session(SESSION, 1)
