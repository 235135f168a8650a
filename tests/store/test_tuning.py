"""The store of tuning jobs, on both databases: nobody finds another's, no end leads back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.store.sqlite import SqliteGrants
from strongroom.store.tuning import (
    StoredCheckpoint,
    StoredEvent,
    StoredFile,
    StoredJob,
    TuningStore,
    open_tuning_store,
)

FILE = StoredFile("file-1", "acme", "chat.jsonl", 3, 100)
JOB = StoredJob(
    id="ftjob-1",
    organisation="acme",
    model="smol",
    manifest="aa" * 32,
    adapter="mine-1",
    training_file="file-1",
    dataset="bb" * 32,
    examples=300,
    tokens=9_000,
    recipe="{}",
    steps=20,
    created_at=100,
)


@pytest.fixture
def store(address: str) -> Iterator[TuningStore]:
    with open_tuning_store(address) as opened:
        yield opened


def test_files_belong_to_one_organisation(store: TuningStore) -> None:
    store.add_file(FILE, b"\x00a\xff")
    assert store.file("acme", "file-1") == FILE
    assert store.content("acme", "file-1") == b"\x00a\xff"
    assert store.files("acme") == (FILE,)
    assert store.file("other", "file-1") is None
    assert store.content("other", "file-1") is None
    assert store.files("other") == ()
    assert not store.delete_file("other", "file-1")
    assert store.delete_file("acme", "file-1")
    assert store.file("acme", "file-1") is None
    store.add_file(FILE, b"")
    with pytest.raises(ConfigurationRefused) as caught:
        store.add_file(FILE, b"")
    assert caught.value.code == "store.duplicate_tuning"


def test_what_came_later_is_newer_within_one_second(store: TuningStore) -> None:
    names = ["c", "a", "b"]
    for name in names:
        store.add_file(msgspec.structs.replace(FILE, id=f"file-{name}"), b"")
        store.add_job(msgspec.structs.replace(JOB, id=f"ftjob-{name}", adapter=name), b"")
    assert [each.id for each in reversed(store.files("acme"))] == [f"file-{n}" for n in names]
    assert [each.id for each in reversed(store.jobs())] == [f"ftjob-{n}" for n in names]


def test_a_job_comes_back_as_it_was_and_moves_forward_only(store: TuningStore) -> None:
    store.add_job(JOB, b"ids")
    assert store.job("ftjob-1") == JOB
    assert store.jobs("acme") == store.jobs() == (JOB,)
    assert store.jobs("other") == ()
    assert store.dataset("ftjob-1") == b"ids"
    assert not store.advance("ftjob-1", 1, None)  # it is not running
    assert store.begin("ftjob-1", 110)
    assert store.advance("ftjob-1", 20, 1.25)
    assert store.requeue("ftjob-1")
    assert not store.requeue("ftjob-1")
    assert store.begin("ftjob-1", 120)
    expected = msgspec.structs.replace(JOB, status="running", started_at=110, step=20, loss=1.25)
    assert store.job("ftjob-1") == expected
    assert store.end("ftjob-1", "failed", 130, error="tune.diverged", reason="It diverged.")
    ended = msgspec.structs.replace(
        expected, status="failed", finished_at=130, error="tune.diverged", reason="It diverged."
    )
    assert store.job("ftjob-1") == ended
    assert store.dataset("ftjob-1") == b""
    for again in (
        store.begin("ftjob-1", 140),
        store.advance("ftjob-1", 21, None),
        store.requeue("ftjob-1"),
        store.end("ftjob-1", "succeeded", 140),
    ):
        assert not again
    assert store.job("ftjob-1") == ended


def test_events_and_checkpoints_are_kept_in_order(store: TuningStore) -> None:
    store.add_job(JOB, b"")
    store.add_event(StoredEvent("ftjob-1", 7, 100, "info", "begun"))
    store.add_event(StoredEvent("ftjob-1", 7, 101, "info", "a step", 20, 1.5))
    assert store.events("ftjob-1") == (
        StoredEvent("ftjob-1", 1, 101, "info", "a step", 20, 1.5),
        StoredEvent("ftjob-1", 0, 100, "info", "begun"),
    )
    assert store.events("ftjob-2") == ()
    one, two = StoredCheckpoint("ftjob-1", 20, 102, 1.5), StoredCheckpoint("ftjob-1", 40, 103, 1.2)
    for checkpoint in (one, two, two):
        store.add_checkpoint(checkpoint)
    assert store.checkpoints("ftjob-1") == (two, one)


def test_the_file_is_private_and_no_other_stores(tmp_path: Path) -> None:
    path = tmp_path / "tuning.sqlite"
    open_tuning_store(str(path)).close()
    assert os.stat(path).st_mode & 0o077 == 0
    with pytest.raises(ConfigurationRefused) as caught:
        SqliteGrants(path)
    assert caught.value.code == "store.unknown_schema"
