"""Keys in SQLite: durable, private, shared between processes."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.store.interface import KeyRecord
from strongroom.store.sqlite import SqliteKeyStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = KeyRecord("k1", "acme", "laptop", b"d" * 32, NOW, expires_at=NOW + timedelta(days=1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.sqlite3"


def test_keys_outlive_the_store(path: Path) -> None:
    with SqliteKeyStore(path) as store:
        store.add_organisation("acme")
        store.add_organisation("acme")
        store.add_key(KEY)
    with SqliteKeyStore(path) as store:
        assert store.organisations() == ("acme",)
        assert store.key("k1") == KEY
        assert store.key("k2") is None
        assert store.keys() == store.keys("acme") == (KEY,)
        assert store.keys("other") == ()


def test_another_process_sees_a_revocation(path: Path) -> None:
    with SqliteKeyStore(path) as one, SqliteKeyStore(path) as other:
        one.add_organisation("acme")
        one.add_key(KEY)
        assert other.key("k1") == KEY
        one.revoke_key("k1", NOW)
        assert other.key("k1") == msgspec.structs.replace(KEY, revoked_at=NOW)


def test_a_revocation_is_never_postponed(path: Path) -> None:
    with SqliteKeyStore(path) as store:
        store.add_organisation("acme")
        store.add_key(KEY)
        store.revoke_key("k1", NOW)
        assert store.revoke_key("k1", NOW + timedelta(days=9)).revoked_at == NOW
        assert store.revoke_key("k1", NOW - timedelta(days=9)).revoked_at == NOW - timedelta(days=9)


def test_when_a_key_is_usable() -> None:
    assert KEY.usable(NOW)
    assert not KEY.usable(NOW + timedelta(days=1))
    revoked = msgspec.structs.replace(KEY, revoked_at=NOW)
    assert not revoked.usable(NOW)
    assert revoked.usable(NOW - timedelta(seconds=1))


def test_refusals(path: Path) -> None:
    with SqliteKeyStore(path) as store:
        codes = []
        store.add_organisation("acme")
        store.add_key(KEY)
        for attempt in (
            lambda: store.add_key(KEY),
            lambda: store.add_key(msgspec.structs.replace(KEY, id="k2", digest=b"short")),
            lambda: store.add_key(msgspec.structs.replace(KEY, id="k2", organisation="no")),
            lambda: store.revoke_key("k2", NOW),
            lambda: store.add_organisation(""),
            lambda: store.add_organisation("a" * 129),
            lambda: store.add_organisation("a\nb"),
        ):
            with pytest.raises(ConfigurationRefused) as caught:
                attempt()
            codes.append(caught.value.code.removeprefix("store."))
        assert codes == ["duplicate_key"] * 2 + ["no_organisation", "no_key"] + ["bad_name"] * 3
        assert store.keys() == (KEY,)


def test_files_are_private(path: Path) -> None:
    previous = os.umask(0)
    try:
        with SqliteKeyStore(path) as store:
            store.add_organisation("acme")
            found = {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    finally:
        os.umask(previous)
    assert path.name in found
    assert set(found.values()) == {0o600}


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    SqliteKeyStore(path).close()
    path.chmod(0o640)
    with pytest.raises(ConfigurationRefused) as caught:
        SqliteKeyStore(path)
    assert caught.value.code == "store.exposed"


def test_what_is_no_database_of_ours_is_refused(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to have a header" * 10)
    path.chmod(0o600)
    codes = []
    newer = tmp_path / "newer"
    SqliteKeyStore(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    link = tmp_path / "link"
    link.symlink_to(newer)
    for candidate in (path, newer, link, tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(ConfigurationRefused) as caught:
            SqliteKeyStore(candidate)
        codes.append(caught.value.code)
    assert codes == ["store.unusable", "store.unknown_schema"] + ["store.unusable"] * 3
    assert path.read_bytes().startswith(b"not a database")


def test_names_cannot_carry_sql(path: Path) -> None:
    with SqliteKeyStore(path) as store:
        name = "x'); DROP TABLE api_keys; --"
        store.add_organisation(name)
        store.add_key(msgspec.structs.replace(KEY, organisation=name))
        assert store.keys(name)[0].organisation == name
