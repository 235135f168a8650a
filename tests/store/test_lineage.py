"""The store of lineage, on both databases: rows are added and found again as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.store.lineage import (
    Derivation,
    LineageStore,
    Named,
    Revocation,
    open_lineage_store,
)
from strongroom.store.sqlite import SqliteGrants, SqliteLineage

BASE, ADAPTER = Named("acme/base", 2, "aa" * 32), Named("acme/adapter", 1, "bb" * 32)
MADE = Derivation(ADAPTER, BASE, "ada", 1_700_000_000)
GONE = Revocation("acme/base", 0, "", "it leaked", "ada", 1_700_000_001)
GONE_TOO = Revocation("acme/base", 2, "aa" * 32, "again", "bob", 1_700_000_002)


@pytest.fixture
def store(address: str) -> Iterator[LineageStore]:
    with open_lineage_store(address) as opened:
        yield opened


def test_what_is_kept_is_found_by_another_connection(store: LineageStore, address: str) -> None:
    assert (store.revocations(), store.derivations()) == ((), ())
    store.derive(MADE)
    store.revoke(GONE)
    store.revoke(GONE_TOO)
    with open_lineage_store(address) as again:
        assert again.derivations() == (MADE,)
        assert again.revocations() == (GONE, GONE_TOO)


def test_a_derivation_is_kept_once(store: LineageStore) -> None:
    store.derive(MADE)
    with pytest.raises(ConfigurationRefused) as refused:
        store.derive(MADE)
    assert refused.value.code == "store.duplicate_derivation"
    assert store.derivations() == (MADE,)


def test_the_file_of_another_store_is_not_taken(tmp_path: Path) -> None:
    SqliteGrants(tmp_path / "grants.sqlite").close()
    with pytest.raises(ConfigurationRefused) as refused:
        SqliteLineage(tmp_path / "grants.sqlite")
    assert refused.value.code == "store.unknown_schema"
