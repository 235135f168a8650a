"""The SQLite file: private, refused when it is not ours, brought up from version 1 without loss."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.errors import ConfigurationRefused, EnvironmentLacks
from strongroom.store.interface import ALL_SCOPES, KeyRecord
from strongroom.store.limits import UNLIMITED
from strongroom.store.sqlite import SqliteStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VERSION_1 = """
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
PRAGMA user_version = 1;
"""
"""What the first release made, copied from it."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.sqlite3"


def make_version_1(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.executescript(VERSION_1)
        db.execute("INSERT INTO organisations VALUES ('acme'), ('empty')")
        at = int(NOW.timestamp())
        rows = [
            ("k1", "acme", "laptop", b"d" * 32, at, at + 86400, None),
            ("k2", "acme", "", b"e" * 32, at + 5, None, at + 9),
        ]
        db.executemany("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    path.chmod(0o600)


def test_version_1_is_brought_up_without_loss(path: Path) -> None:
    make_version_1(path)
    for _ in range(2):
        with SqliteStore(path) as store:
            assert store.keys("acme") == (
                KeyRecord("k1", "acme", "laptop", b"d" * 32, NOW, NOW + timedelta(days=1)),
                KeyRecord(
                    "k2",
                    "acme",
                    "",
                    b"e" * 32,
                    NOW + timedelta(seconds=5),
                    revoked_at=NOW + timedelta(seconds=9),
                ),
            )
            assert {key.scopes for key in store.keys("acme")} == {ALL_SCOPES}
            acme, empty = store.organisations()
            assert (acme.name, acme.created_at, acme.limits) == ("acme", NOW, UNLIMITED)
            assert abs((empty.created_at - datetime.now(UTC)).total_seconds()) < 60
            assert store.switches() == ()
            assert store.changes() >= 0
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_failed_migration_leaves_version_1(path: Path) -> None:
    make_version_1(path)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE switches (in_the_way TEXT)")
    with pytest.raises(ConfigurationRefused) as caught:
        SqliteStore(path)
    assert caught.value.code == "store.unusable"
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert len(db.execute("SELECT * FROM api_keys").fetchone()) == 7


def test_files_are_private(path: Path) -> None:
    previous = os.umask(0)
    try:
        with SqliteStore(path) as store:
            store.add_organisation("acme")
            found = {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    finally:
        os.umask(previous)
    assert path.name in found
    assert set(found.values()) == {0o600}


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    path.chmod(0o640)
    with pytest.raises(ConfigurationRefused) as caught:
        SqliteStore(path)
    assert caught.value.code == "store.exposed"


def test_what_is_no_database_of_ours_is_refused(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to have a header" * 10)
    path.chmod(0o600)
    codes = []
    newer = tmp_path / "newer"
    SqliteStore(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    link = tmp_path / "link"
    link.symlink_to(newer)
    for candidate in (path, newer, link, tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(ConfigurationRefused) as caught:
            SqliteStore(candidate)
        codes.append(caught.value.code)
    assert codes == ["store.unusable", "store.unknown_schema"] + ["store.unusable"] * 3
    assert path.read_bytes().startswith(b"not a database")


def test_damaged_limits_are_not_taken_for_none(path: Path) -> None:
    with SqliteStore(path) as store:
        store.add_organisation("acme")
        with sqlite3.connect(path) as db:
            db.execute("UPDATE organisations SET limits = '{\"minute\": 3}'")
        with pytest.raises(ConfigurationRefused) as caught:
            store.organisation("acme")
        assert caught.value.code == "store.bad_row"
        assert str(caught.value).count("{") == 0


def test_a_store_that_fails_says_so(path: Path) -> None:
    store = SqliteStore(path)
    store.close()
    with pytest.raises(EnvironmentLacks) as caught:
        store.key("k1")
    assert caught.value.code == "store.unavailable"
