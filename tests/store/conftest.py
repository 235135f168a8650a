"""An empty identity store of each kind, and a second connection to the same one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.store.interface import IdentityStore
from strongroom.store.sqlite import SqliteStore

POSTGRES = os.environ.get("STRONGROOM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1/test")
Opens = Callable[[], IdentityStore]


@pytest.fixture(params=["sqlite", "postgres"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opens]:
    """Call it for one more connection to a store that was empty when the test began."""
    opened: list[IdentityStore] = []
    if request.param == "sqlite":
        make: Opens = lambda: SqliteStore(tmp_path / "keys.sqlite")  # noqa: E731
        drop: Callable[[], object] = lambda: None  # noqa: E731
    else:
        make, drop = _postgres()

    def more() -> IdentityStore:
        opened.append(make())
        return opened[-1]

    yield more
    for store in opened:
        store.close()
    drop()


@pytest.fixture
def store(opens: Opens) -> IdentityStore:
    return opens()


def _postgres() -> tuple[Opens, Callable[[], object]]:
    psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {type(error).__name__}")
    from strongroom.store.postgres import PostgresStore

    name = f"strongroom_test_{uuid.uuid4().hex}"
    url = f"{POSTGRES}?options=-csearch_path%3D{name}"
    admin.execute(f"CREATE SCHEMA {name}")

    def drop() -> None:
        admin.execute(f"DROP SCHEMA {name} CASCADE")
        admin.close()

    return lambda: PostgresStore(url), drop
