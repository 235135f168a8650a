"""The writer: order, durability before acknowledgement, one writer, and what happens on failure."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.ledger import journal, merkle, proving, segments
from strongroom.ledger.checkpoint import parse_signed
from strongroom.ledger.entries import RequestIntent
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import log_names, look
from strongroom.ledger.tree import Tree
from strongroom.ledger.writer import LogWriter
from tests.ledger import second_verifier
from tests.ledger.logs import World, final, intent, log_many, make_world, switched


def size_of(world: World) -> int:
    return look(world.state, world.name, world.key.public)[1].newest.size


def test_indices_are_given_in_order(world: World) -> None:
    with world.open() as log:
        assert log.write(switched()) == 0
        assert log_many(log, [intent(i) for i in range(20)]) == list(range(1, 21))
        assert log.size == 21
    assert size_of(world) == 21


def test_what_was_acknowledged_is_on_the_disk(world: World) -> None:
    """Before the writer is closed, a second process can verify and read it."""
    with world.open(publish_seconds=3600) as log:
        index = log.write(intent(7))
        _, found = look(world.state, world.name, world.key.public)
        assert found.newest.size == index + 1
        assert found.published.size == 0
        assert b'"r-7"' in found.unpublished[index]


def test_what_was_begun_is_written_and_soon_durable(world: World) -> None:
    async def run(log: LogWriter) -> None:
        assert await log.begin(intent(0)) == 0
        _, found = look(world.state, world.name, world.key.public)
        assert found.newest.size == 1
        until = time.monotonic() + 5
        while log.size < 1 and time.monotonic() < until:
            await asyncio.sleep(0.001)
        assert log.size == 1
        index = await log.begin(intent(1))
        await log.durable(index)
        assert log.size == 2
        await log.durable(0)

    with world.open(publish_seconds=3600) as log:
        asyncio.run(run(log))


def test_the_disk_is_not_waited_for_by_who_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go, real = threading.Event(), os.fdatasync

    def slow(descriptor: int) -> None:
        assert may_go.wait(10)
        real(descriptor)

    async def run(log: LogWriter) -> None:
        first = await asyncio.wait_for(log.begin(intent(0)), 5)
        shown = asyncio.ensure_future(log.durable(first))
        ended = asyncio.ensure_future(log.append(intent(1)))
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(log.begin(intent(2)), 5) == 2
        assert not shown.done()
        assert not ended.done()
        may_go.set()
        await asyncio.wait_for(asyncio.gather(shown, ended), 5)

    with world.open(publish_seconds=3600) as log:
        monkeypatch.setattr(segments.os, "fdatasync", slow)
        asyncio.run(run(log))


def test_what_never_becomes_durable_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    async def run(log: LogWriter) -> None:
        index = await log.begin(intent(0))
        with pytest.raises(StrongroomError) as error:
            await log.durable(index)
        assert error.value.code == "ledger.write_failed"
        with pytest.raises(StrongroomError):
            await log.begin(intent(1))

    log = world.open(publish_seconds=3600)
    with monkeypatch.context() as patch:
        patch.setattr(segments.os, "fdatasync", fail)
        asyncio.run(run(log))
    with pytest.raises(StrongroomError):
        log.close()


def test_the_checkpoint_is_published_while_running(world: World) -> None:
    with world.open(publish_seconds=0.05) as log:
        log.write(intent(0))
        until = time.monotonic() + 5
        verifier = world.key.verifier(world.name)
        while time.monotonic() < until:
            raw = (world.folder / "checkpoint").read_bytes()
            if parse_signed(raw, verifier, "it").size == 1:
                break
            time.sleep(0.02)
        second_verifier.check(world.folder, verifier.encode())


def test_one_writer(world: World) -> None:
    with world.open(), pytest.raises(StrongroomError) as error:
        world.open()
    assert error.value.code == "ledger.in_use"
    world.open().close()


def test_a_short_writer_waits_for_another(world: World) -> None:
    log = world.open()
    threading.Timer(0.2, log.close).start()
    world.open(wait_seconds=5).close()


def test_several_logs_of_one_home(world: World) -> None:
    other = World(world.path, world.key, "operator")
    with world.open() as one, other.open() as two:
        one.write(intent(0))
        two.write(switched())
    assert log_names(world.state) == ["gateway", "operator"]
    assert size_of(world) == size_of(other) == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", "Gateway", "x" * 65])
def test_bad_names(world: World, name: str) -> None:
    with pytest.raises(StrongroomError) as error:
        World(world.path, world.key, name).open()
    assert error.value.code == "ledger.bad_name"


def test_a_bad_entry_changes_nothing(world: World) -> None:
    bad = RequestIntent("a prompt, with spaces", "Acme", "k", "chat", "m", {"requests": 1})
    with world.open() as log:
        for wrong in (bad, intent(1, "line\nbreak"), intent(1, "Acme\n")):
            with pytest.raises(StrongroomError) as error:
                log.write(wrong)
            assert error.value.code == "ledger.bad_entry"
            assert "prompt" not in str(error.value)
        assert log.write(intent(1)) == 0


def test_a_closed_log_records_nothing(world: World) -> None:
    log = world.open()
    log.close()
    log.close()
    with pytest.raises(StrongroomError) as error:
        log.write(intent(1))
    assert error.value.code == "ledger.closed"


def test_a_cancelled_caller_does_not_take_its_entry_back(world: World) -> None:
    async def run() -> None:
        with world.open() as log:
            task = asyncio.create_task(log.append(intent(0)))
            await asyncio.sleep(0)
            task.cancel()
            assert await log.append(intent(1)) == 1

    asyncio.run(run())
    assert size_of(world) == 2


def test_a_failing_disk_stops_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = world.open()
    log.write(intent(0))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments.os, "fdatasync", fail)
    for _ in range(2):
        with pytest.raises(StrongroomError) as error:
            log.write(intent(1))
        assert error.value.code == "ledger.write_failed"
    monkeypatch.undo()
    with pytest.raises(StrongroomError):
        log.write(intent(2))
    with pytest.raises(StrongroomError):
        log.close()
    with world.open() as again:
        assert again.size in {1, 2}


def test_a_failing_publication_stops_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("strongroom.ledger.writer.publish", fail)
    log = world.open(publish_seconds=0.01)
    log.write(intent(0))
    time.sleep(0.2)
    with pytest.raises(StrongroomError) as error:
        log.write(intent(1))
    assert error.value.code == "ledger.write_failed"
    with pytest.raises(StrongroomError):
        log.close()
    monkeypatch.undo()
    world.open().close()


def test_segments_follow_one_another_and_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_BYTES", 5000)
    log = world.open(publish_seconds=3600)
    for number in range(60):
        log.write(intent(number))
    starts = journal.segment_starts(world.folder / journal.FOLDER)
    assert len(starts) > 3
    assert size_of(world) == 60
    log.close()
    assert journal.segment_starts(world.folder / journal.FOLDER) == starts[-1:]
    world.fill(10, first=60)
    assert size_of(world) == 70


def test_a_copy_without_its_journal_is_gone_on_with(world: World) -> None:
    """What a stock tool copies is tiles and checkpoint; they stand by themselves."""
    world.fill(300)
    for path in (world.folder / journal.FOLDER).iterdir():
        path.unlink()
    world.fill(5, first=300)
    assert size_of(world) == 305


def test_a_crash_while_a_log_is_made(world: World) -> None:
    """Each state that a crash can leave on the way is gone on from."""
    world.seen.parent.mkdir()
    world.seen.touch(mode=0o600)
    world.open().close()
    (world.folder / "checkpoint").unlink()
    for note in (world.path / "log.begun").iterdir():  # it is made last
        note.unlink()
    world.open().close()
    assert size_of(world) == 0


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=5), st.booleans())
def test_any_sequence_of_sessions_verifies(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], eager: bool
) -> None:
    world = make_world(tmp_path_factory.mktemp("sessions") / "home")
    kept, first = [], 0
    verifier = world.key.verifier(world.name)
    for count in counts:
        with world.open(publish_seconds=0.0 if eager else 3600) as log:
            assert [recorded.index for recorded in log.records()] == list(range(first))
            log_many(log, [intent(first + i) for i in range(count)])
        first += count
        kept.append(parse_signed((world.folder / "checkpoint").read_bytes(), verifier, "it"))
    _, found = look(world.state, world.name, world.key.public, kept)
    assert found.newest.size == sum(counts)
    second_verifier.check(world.folder, verifier.encode())
    folder = LogFolder(world.folder)
    for old in kept:
        proving.prove_consistency(folder, verifier, old)
    for index in {0, first // 2, first - 1}:
        proving.prove(folder, verifier, index)


def test_a_live_log_can_be_verified_all_the_time(world: World) -> None:
    """The journal turns over and partial tiles go while somebody reads."""
    stop = threading.Event()

    def write() -> None:
        with world.open(publish_seconds=0.0) as log:
            number = 0
            while not stop.is_set():
                log_many(log, [intent(number + i) for i in range(40)])
                number += 40

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes, until = [], time.monotonic() + 3
        while time.monotonic() < until:
            if (world.folder / "checkpoint").exists():
                sizes.append(size_of(world))
    finally:
        stop.set()
        writer.join()
    assert sizes == sorted(sizes)
    assert sizes[-1] > 256


def test_proof_of_one_in_200000(tmp_path: Path) -> None:
    """18 hashes of 32 bytes: 576 bytes."""
    tree, leaves = Tree(), 200_000
    stored = {}
    for number in range(leaves):
        tree.push(merkle.leaf_hash(b"%d" % number))
    for tile in [*tree.take_full(), *tree.partial()]:
        stored[tile.level, tile.number] = tile.content
    from strongroom.ledger.tiles import nodes

    node = nodes(leaves, lambda level, number, width: stored[level, number])
    for index in (0, 123_456, leaves - 1):
        proof = merkle.inclusion_proof(index, leaves, node)
        assert sum(map(len, proof)) <= 576
        leaf = merkle.leaf_hash(b"%d" % index)
        assert merkle.inclusion_holds(index, leaves, leaf, proof, tree.root())


def test_digests_are_keyed_and_told_apart(tmp_path: Path) -> None:
    one, two = LogKey.create(tmp_path / "one.key"), LogKey.create(tmp_path / "two.key")
    assert one.digest("input", b"hello") == LogKey.load(tmp_path / "one.key").digest(
        "input", b"hello"
    )
    assert (
        len({one.digest("input", b"x"), one.digest("output", b"x"), two.digest("input", b"x")}) == 3
    )


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    key = LogKey.create(path, name="logs.example.com")
    assert key.verifier("gateway").name == "logs.example.com/gateway"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes())["seed"] not in f"{key!r}{vars(key)}"
    with pytest.raises(StrongroomError) as error:
        LogKey.create(path)
    assert error.value.code == "ledger.key_exists"
    path.chmod(0o640)
    with pytest.raises(StrongroomError) as error:
        LogKey.load(path)
    assert error.value.code == "ledger.key_unusable"
    path.chmod(0o600)
    path.write_bytes(b"{}")
    with pytest.raises(StrongroomError) as error:
        LogKey.load(path)
    assert error.value.code == "ledger.key_unusable"
    os.remove(path)
    with pytest.raises(StrongroomError) as error:
        LogKey.load(path)
    assert error.value.code == "ledger.key_missing"


def test_finals_without_intents_are_no_charge(world: World) -> None:
    from strongroom.ledger.recovery import charges

    with world.open() as log:
        log.write(final(1))
    with world.open() as log:
        assert list(charges(log.records())) == []
