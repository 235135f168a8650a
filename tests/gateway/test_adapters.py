"""Which adapters the gateway finds, brings to the keeper, and lets go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.boundary.frames import AdapterState, LoadAdapter, ModelCard, UnloadAdapter
from strongroom.gateway.adapters import SERVED_BLOB, Adapters
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.text_rules import TextPolicy
from strongroom.store.exports import StoredPromotion
from strongroom.store.tuning import StoredJob, TuningStore, open_tuning_store

MANIFEST = "aa" * 32
BLOB = b"sealed" * 1000
JOB = StoredJob(
    id="ftjob-1",
    organisation="acme",
    model="smol",
    manifest=MANIFEST,
    adapter="one",
    training_file="file-1",
    dataset="bb" * 32,
    examples=300,
    tokens=9_000,
    recipe="{}",
    steps=20,
    created_at=100,
)


class Keeper:
    """Holds so many adapters, as a keeper says it; notes what it was asked."""

    def __init__(self, room: int) -> None:
        self.room, self.asked, self.holds = room, list[str](), dict[tuple[str, str], bytes]()
        self.busy = set[str]()
        self._last = 0

    def next_id(self) -> int:
        self._last += 1
        return self._last

    def start(self, *frames: Any) -> Any:
        last, key = frames[-1], (frames[-1].tenant, frames[-1].adapter)
        answer: Any
        if isinstance(last, UnloadAdapter):
            self.asked.append(f"-{last.adapter}")
            answer = AdapterState(last.id, loaded=False)
            if last.adapter in self.busy:
                answer = refused("keeper.adapter_in_use")
            else:
                self.holds.pop(key, None)
        else:
            self.asked.append(f"+{last.adapter}")
            assert isinstance(last, LoadAdapter)
            answer = AdapterState(last.id, loaded=True)
            if key in self.holds:
                answer = refused("keeper.adapter_loaded")
            elif len(self.holds) >= self.room:
                answer = refused("keeper.adapters_full")
            else:
                self.holds[key] = b"".join(frame.data for frame in frames)
        return _Exchange(answer)


class _Exchange:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def __aenter__(self) -> _Exchange:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def next(self) -> Any:
        await asyncio.sleep(0)
        if isinstance(self._answer, Refusal):
            raise self._answer
        return self._answer


def refused(code: str) -> Refusal:
    return Refusal(code, "No.", action="", status=503)


def job(name: str, organisation: str = "acme", **changes: Any) -> StoredJob:
    return msgspec.structs.replace(
        JOB, id=f"ftjob-{organisation}-{name}", adapter=name, organisation=organisation, **changes
    )


def add(store: TuningStore, folder: Path, added: StoredJob, *, done: bool = True) -> None:
    store.add_job(added, b"")
    if done:
        store.end(added.id, "succeeded", 200)
        (folder / added.id).mkdir()
        (folder / added.id / SERVED_BLOB).write_bytes(BLOB)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_tuning_store(str(tmp_path / "tuning.sqlite")) as opened:
        yield opened


def adapters(store: TuningStore | None, keeper: Keeper, folder: Path) -> Adapters:
    card = ModelCard("classifier", "smol", 1, MANIFEST, {})
    model = ServedModel("smol", card, TextPolicy())
    return Adapters(model, keeper, store, folder)  # type: ignore[arg-type]


async def found(served: Adapters, organisation: str, name: str) -> str:
    """The adapter's name, nothing for the base, the code of a refusal."""
    try:
        there = await served.find(organisation, name)
    except Refusal as refusal:
        return refusal.code
    return "" if there is None else there.adapter


def test_a_name_means_ones_own_finished_adapter_of_this_release(
    store: TuningStore, tmp_path: Path
) -> None:
    add(store, tmp_path, job("one"))
    add(store, tmp_path, job("theirs", "beta"))
    add(store, tmp_path, job("older", manifest="cc" * 32))
    add(store, tmp_path, job("waiting"), done=False)
    store.promote(
        StoredPromotion("acme", "smol", "best", "ftjob-acme-one", MANIFEST, "dd" * 32, 300)
    )

    async def scenario() -> None:
        served = adapters(store, Keeper(2), tmp_path)
        assert await found(served, "acme", "smol") == ""
        assert await found(served, "acme", "smol:one") == "one"
        assert await found(served, "acme", "smol:best") == "one"
        assert await found(served, "beta", "smol:theirs") == "theirs"
        for name in ("smol:theirs", "smol:older", "smol:waiting", "smol:", "smol:x", "o:one", "x"):
            assert await found(served, "acme", name) == "gateway.no_model", name
        assert await found(served, "beta", "smol:best") == "gateway.no_model"
        assert [each.adapter for each in await served.all("acme")] == ["one"]
        none = adapters(None, Keeper(2), tmp_path)
        assert await found(none, "acme", "smol:one") == "gateway.no_model"
        assert await none.all("acme") == []

    asyncio.run(scenario())


def test_one_is_brought_once_and_the_one_used_longest_ago_goes(
    store: TuningStore, tmp_path: Path
) -> None:
    jobs = {name: job(name) for name in ("one", "two", "three")}
    for each in jobs.values():
        add(store, tmp_path, each)
    keeper = Keeper(2)

    async def scenario() -> None:
        served = adapters(store, keeper, tmp_path)

        async def use(name: str) -> None:
            async with served.held(jobs[name]) as known:
                assert known == name
                assert keeper.holds["acme", name] == BLOB

        async with served.held(None) as base:
            assert base == ""
        await asyncio.gather(*(use("one") for _ in range(5)))
        await use("two")
        await use("one")
        assert keeper.asked == ["+one", "+two"]
        await use("three")  # two was used longest ago
        assert keeper.asked == ["+one", "+two", "+three", "-two", "+three"]
        async with served.held(jobs["one"]), served.held(jobs["three"]):
            with pytest.raises(Refusal) as full:
                await use("two")
            assert full.value.code == "keeper.adapters_full"
        await use("two")
        keeper.busy.add("two")  # an answer that nobody reads any more
        keeper.busy.add("three")
        with pytest.raises(Refusal):
            await use("one")
        keeper.busy.clear()
        await use("two")  # it was thought gone, and is there
        assert keeper.asked[-1] == "+two"

    asyncio.run(scenario())


def test_a_blob_that_is_not_there_is_told_and_brings_nobody_down(
    store: TuningStore, tmp_path: Path
) -> None:
    add(store, tmp_path, job("one"))
    (tmp_path / "ftjob-acme-one" / SERVED_BLOB).unlink()

    async def scenario() -> None:
        served = adapters(store, Keeper(2), tmp_path)
        with pytest.raises(Refusal) as lost:
            async with served.held(job("one")):
                pass
        assert (lost.value.code, lost.value.status) == ("gateway.adapter_unavailable", 503)

    asyncio.run(scenario())
