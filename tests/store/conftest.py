"""Where an empty store of each kind can be opened, and the store of identities there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.store.interface import IdentityStore
from strongroom.store.opening import open_identity_store

POSTGRES = os.environ.get("STRONGROOM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1/test")
Opens = Callable[[], IdentityStore]


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty store of either kind can be opened, any number of times."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.sqlite")
        return
    psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {type(error).__name__}")
    name = f"strongroom_test_{uuid.uuid4().hex}"
    admin.execute(f"CREATE SCHEMA {name}")
    yield f"{POSTGRES}?options=-csearch_path%3D{name}"
    admin.execute(f"DROP SCHEMA {name} CASCADE")
    admin.close()


@pytest.fixture
def opens(address: str) -> Iterator[Opens]:
    """Call it for one more connection to a store that was empty when the test began."""
    opened: list[IdentityStore] = []

    def more() -> IdentityStore:
        opened.append(open_identity_store(address))
        return opened[-1]

    yield more
    for store in opened:
        store.close()


@pytest.fixture
def store(opens: Opens) -> IdentityStore:
    return opens()
