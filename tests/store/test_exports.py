"""What left is counted for ever, by one gate at a time; a name means the newest promotion."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import msgspec
import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.store.exports import StoredExport, StoredPromotion
from strongroom.store.tuning import TuningStore, open_tuning_store

from .test_tuning import JOB

BASE = "aa" * 32


def export(number: int, **other: str) -> StoredExport:
    made = StoredExport(f"ftjob-{number}", "acme", BASE, f"data-{number}", 1.5, "ff" * 32, 100)
    return msgspec.structs.replace(made, **other)


def promotion(job: str, **other: str) -> StoredPromotion:
    made = StoredPromotion("acme", "smol", "notes", job, BASE, "dd" * 32, 100)
    return msgspec.structs.replace(made, **other)


@pytest.fixture
def store(address: str) -> Iterator[TuningStore]:
    with open_tuning_store(address) as opened:
        for number in range(1, 7):
            job = msgspec.structs.replace(JOB, id=f"ftjob-{number}", adapter=f"mine-{number}")
            opened.add_job(job, b"")
        yield opened


def test_exports_are_counted_by_organisation_and_base(store: TuningStore) -> None:
    assert [store.add_export(export(number), 2) for number in (1, 2)] == [1, 2]
    assert store.exports("acme", BASE) == (export(1), export(2))
    for refused in (export(3), export(3, dataset="data-1")):
        with pytest.raises(ConfigurationRefused) as caught:
            store.add_export(refused, 2)
        assert caught.value.code == "store.export_refused"
    assert store.add_export(export(3, organisation="other"), 2) == 1
    assert store.add_export(export(4, manifest="bb" * 32), 2) == 1
    assert len(store.exports("acme", BASE)) == 2


def test_the_same_data_or_job_does_not_leave_twice(store: TuningStore) -> None:
    store.add_export(export(1), 9)
    for again in (export(2, dataset="data-1"), export(1, dataset="data-2")):
        with pytest.raises(ConfigurationRefused):
            store.add_export(again, 9)
    assert store.exports("acme", BASE) == (export(1),)


def test_two_gates_at_once_cannot_both_be_the_last(address: str, store: TuningStore) -> None:
    became: list[str] = []

    def leave(number: int) -> None:
        with open_tuning_store(address) as mine:
            try:
                became.append(str(mine.add_export(export(number), 1)))
            except ConfigurationRefused as refused:
                became.append(refused.code)

    threads = [threading.Thread(target=leave, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(became) == ["1", *["store.export_refused"] * 3]
    assert len(store.exports("acme", BASE)) == 1


def test_a_name_means_the_newest_and_rolls_back_one_by_one(store: TuningStore) -> None:
    assert store.promoted("acme", "smol", "notes") is None
    assert not store.roll_back("acme", "smol", "notes", 200)
    for job in ("ftjob-1", "ftjob-2"):  # within one second
        store.promote(promotion(job))
    store.promote(promotion("ftjob-3", organisation="other"))
    store.promote(promotion("ftjob-4", name="drafts"))
    assert store.promoted("acme", "smol", "notes") == promotion("ftjob-2")
    assert [each.job for each in store.promotions("acme")] == ["ftjob-4", "ftjob-2", "ftjob-1"]
    assert len(store.promotions()) == 4
    assert store.roll_back("acme", "smol", "notes", 200)
    assert store.promoted("acme", "smol", "notes") == promotion("ftjob-1")
    assert store.roll_back("acme", "smol", "notes", 201)
    assert store.promoted("acme", "smol", "notes") is None
    assert store.promoted("other", "smol", "notes") == promotion("ftjob-3", organisation="other")
