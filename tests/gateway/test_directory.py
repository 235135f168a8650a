"""What the directory answers was true a moment ago; the event loop never waits for the store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import EnvironmentLacks
from strongroom.gateway.directory import LAST_LOOK_SECONDS, Directory, NotHere
from strongroom.store.interface import KeyRecord, Organisation
from strongroom.store.sqlite import SqliteStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Slow(SqliteStore):
    """A store that waits where it is told to, and counts who asks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.gone = False

    def key(self, key_id: str) -> KeyRecord | None:
        self.asked.append(key_id)
        assert threading.current_thread() is not threading.main_thread()
        found = super().key(key_id)
        self.gate.wait(10)
        if self.gone:
            raise EnvironmentLacks("store.unavailable", "Gone.", action="Wait.")
        return found


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Slow]:
    with Slow(tmp_path / "keys.sqlite") as made:
        made.add_organisation("acme")
        made.add_key(KeyRecord("00", "acme", "", bytes(32), NOW))
        yield made


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def directory(store: Slow, clock: Time) -> Iterator[Directory]:
    made = Directory(store, clock)
    made.changes()
    yield made
    made.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def missing(directory: Directory) -> bool:
    try:
        directory.key("00")
    except NotHere as missed:
        return missed.place == ("key", "00")
    return False


def test_it_answers_from_memory_until_the_store_changes(store: Slow, directory: Directory) -> None:
    assert missing(directory)
    run(directory.fetch(("key", "00")))
    run(directory.fetch(("organisation", "acme")))
    for _ in range(3):
        found = directory.key("00")
        assert found is not None
        assert found.revoked_at is None
    assert isinstance(directory.organisation("acme"), Organisation)
    assert store.asked == ["00"]
    store.revoke_key("00", NOW)
    assert directory.key("00").revoked_at is None  # type: ignore[union-attr]
    directory.changes()
    assert missing(directory)
    run(directory.fetch(("key", "00")))
    assert directory.key("00").revoked_at == NOW  # type: ignore[union-attr]


def test_what_was_read_before_a_change_is_not_kept(store: Slow, directory: Directory) -> None:
    async def race() -> None:
        store.gate.clear()
        reading = asyncio.ensure_future(directory.fetch(("key", "00")))
        while not store.asked:
            await asyncio.sleep(0.001)
        store.revoke_key("00", NOW)  # the thread holds the key as it was before
        directory.changes()
        store.gate.set()
        await reading

    run(race())
    assert missing(directory)


def test_without_looks_only_what_was_read_since_counts(
    store: Slow, directory: Directory, clock: Time
) -> None:
    run(directory.fetch(("key", "00")))
    clock.now += LAST_LOOK_SECONDS + 0.1
    assert missing(directory)
    run(directory.fetch(("key", "00")))
    assert not missing(directory)
    clock.now += LAST_LOOK_SECONDS + 0.1
    assert missing(directory)
    directory.changes()
    assert not missing(directory)  # nothing has changed meanwhile


def test_requests_that_miss_the_same_share_a_look_and_the_loop_goes_on(
    store: Slow, directory: Directory
) -> None:
    async def many() -> float:
        store.gate.clear()
        asking = [asyncio.ensure_future(directory.fetch(("key", "00"))) for _ in range(50)]
        longest, until = 0.0, time.monotonic() + 0.3
        while time.monotonic() < until:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)
        store.gate.set()
        await asyncio.gather(*asking)
        return longest

    assert run(many()) < 0.25  # the store took 0.3 seconds
    assert store.asked == ["00"]


def test_a_store_that_is_gone_is_not_taken_for_an_unknown_key(
    store: Slow, directory: Directory
) -> None:
    store.gone = True
    with pytest.raises(EnvironmentLacks):
        run(directory.fetch(("key", "00")))
    assert missing(directory)


def test_what_does_not_exist_is_known_not_to(store: Slow, directory: Directory) -> None:
    run(directory.fetch(("key", "01")))
    assert directory.key("01") is None
    store.add_key(KeyRecord("01", "acme", "", bytes(32), NOW))
    directory.changes()
    run(directory.fetch(("key", "01")))
    assert directory.key("01") is not None
