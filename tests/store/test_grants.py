"""The store of grants, on both databases: rows are added, found again as they were, never twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.store.grants import GrantStore, StoredRequest, StoredVote, open_grant_store
from strongroom.store.sqlite import SqliteGrants, SqliteStore

FIRST = StoredRequest("0" * 32, "aa" * 32, b"\x00first\xff")
SECOND = StoredRequest("1" * 32, "bb" * 32, b"second")
VOTE = StoredVote(FIRST.id, "ada", "approval", b"\x00vote", b"s" * 64)


@pytest.fixture
def store(address: str) -> Iterator[GrantStore]:
    with open_grant_store(address) as opened:
        opened.add_request(FIRST)
        opened.add_request(SECOND)
        yield opened


def code_of(store: GrantStore, added: StoredRequest | StoredVote) -> str:
    with pytest.raises(ConfigurationRefused) as refused:
        store.add_request(added) if isinstance(added, StoredRequest) else store.add_vote(added)
    return refused.value.code


def test_what_is_kept_is_found_by_another_connection(store: GrantStore, address: str) -> None:
    store.add_vote(VOTE)
    with open_grant_store(address) as again:
        assert again.requests() == (FIRST, SECOND)
        assert again.requests("bb" * 32) == (SECOND,)
        assert again.request(FIRST.id) == FIRST
        assert again.request("2" * 32) is None
        assert again.votes(FIRST.id) == (VOTE,)
        assert again.votes(SECOND.id) == ()


def test_nothing_is_kept_twice_or_for_nothing(store: GrantStore) -> None:
    assert code_of(store, FIRST) == "store.duplicate_grant"
    store.add_vote(VOTE)
    assert code_of(store, VOTE) == "store.duplicate_vote"
    stray = StoredVote("2" * 32, "ada", "approval", b"", b"")
    assert code_of(store, stray) == "store.no_grant"
    store.add_vote(StoredVote(FIRST.id, "ada", "revocation", b"", b"s"))
    assert [vote.kind for vote in store.votes(FIRST.id)] == ["approval", "revocation"]


def test_identities_and_grants_do_not_open_each_others_file(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "identities").close()
    SqliteGrants(tmp_path / "grants").close()
    for kind, name in ((SqliteGrants, "identities"), (SqliteStore, "grants")):
        with pytest.raises(ConfigurationRefused) as refused:
            kind(tmp_path / name)
        assert refused.value.code == "store.unknown_schema"
    assert os.stat(tmp_path / "grants").st_mode & 0o077 == 0
