"""Every kind of damage is refused with its own reason; the untouched log is the control."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.ledger import journal, tiles
from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.merkle import leaf_hash
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.opening import look
from strongroom.ledger.tree import Tree
from strongroom.ledger.verify import verify
from tests.ledger.logs import World, intent, make_world

SIZE = 600
Edit = Callable[[list[bytes]], list[bytes]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("damage") / "home", 280, 320)


@pytest.fixture
def world(original: World, tmp_path: Path) -> World:
    shutil.copytree(original.path, tmp_path / "home")
    return World(tmp_path / "home", original.key)


def refusal(world: World) -> StrongroomError:
    """The refusal of the verifier; the writer must give the same one at its start."""
    with pytest.raises(StrongroomError) as looked:
        look(world.state, world.name, world.key.public)
    with pytest.raises(StrongroomError) as opened:
        world.open().close()
    assert opened.value.code == looked.value.code
    return looked.value


def entries_of(world: World) -> list[bytes]:
    folder = LogFolder(world.folder)
    return [raw for at in tiles.bundles(SIZE) for raw in folder.bundle(*at)]


def rewrite(world: World, edit: Edit, *, with_tiles: bool) -> None:
    """Put edited records into the bundles; and, like a thorough attacker, fitting hash tiles."""
    entries = edit(entries_of(world))
    shutil.rmtree(world.folder / "tile" / "entries")
    tree = Tree()
    for start in range(0, len(entries), 256):
        part = entries[start : start + 256]
        put(world, tiles.bundle_path(start // 256, len(part)), tiles.encode_bundle(part))
    if with_tiles:
        for raw in entries:
            tree.push(leaf_hash(raw))
        for tile in [*tree.take_full(), *tree.partial()]:
            put(world, tiles.tile_path(tile.level, tile.number, tile.width), tile.content)
    shutil.rmtree(world.folder / journal.FOLDER)
    (world.folder / journal.FOLDER).mkdir()


def put(world: World, name: str, content: bytes) -> None:
    path = world.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def flip(raw: bytes, at: int, bit: int = 0) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]


def swap(entries: list[bytes]) -> list[bytes]:
    return [*entries[:7], entries[8], entries[7], *entries[9:]]


EDITS: dict[str, tuple[str, Edit]] = {
    "flipped": ("ledger.altered", lambda e: [*e[:300], flip(e[300], -20), *e[301:]]),
    "replaced": ("ledger.altered", lambda e: [*e[:5], b'{"index":5}x', *e[6:]]),
    "dropped": ("ledger.dropped", lambda e: [*e[:5], *e[6:]]),
    "dropped across bundles": ("ledger.dropped", lambda e: [*e[:100], *e[400:]]),
    "first dropped": ("ledger.dropped", lambda e: e[1:]),
    "swapped": ("ledger.reordered", swap),
    "reversed": ("ledger.reordered", lambda e: e[::-1]),
    "inserted": ("ledger.inserted", lambda e: [*e[:9], b'{"index":77777}', *e[9:]]),
    "copied": ("ledger.inserted", lambda e: [*e[:9], e[3], *e[9:]]),
    "inserted, and the last one cut": (
        "ledger.inserted",
        lambda e: [*e[:9], b'{"index":77777}', *e[9:-1]],
    ),
    "dropped, and one appended": ("ledger.dropped", lambda e: [*e[:9], *e[10:], b"{}"]),
    "cut": ("ledger.truncated", lambda e: e[:400]),
    "last one cut": ("ledger.truncated", lambda e: e[:-1]),
}


def test_the_untouched_log_verifies(world: World) -> None:
    _, found = look(world.state, world.name, world.key.public)
    assert found.newest.size == found.published.size == SIZE
    world.open().close()
    rewrite(world, lambda entries: entries, with_tiles=True)
    look(world.state, world.name, world.key.public)


@pytest.mark.parametrize("with_tiles", [False, True], ids=["entries", "entries and tiles"])
@pytest.mark.parametrize("kind", EDITS)
def test_tampered_records(world: World, kind: str, with_tiles: bool) -> None:
    code, edit = EDITS[kind]
    rewrite(world, edit, with_tiles=with_tiles)
    assert refusal(world).code == code


def test_messages_name_the_place(world: World) -> None:
    rewrite(world, EDITS["swapped"][1], with_tiles=False)
    assert "place 7 on" in refusal(world).message
    shutil.rmtree(world.path)


def test_a_rewritten_record_that_keeps_its_index(world: World) -> None:
    """Entries and tiles agree with each other; the signed root does not agree with them."""
    rewrite(
        world,
        lambda e: [*e[:70], e[70].replace(b"Acme", b"Evil"), *e[71:]],
        with_tiles=True,
    )
    assert refusal(world).code == "ledger.altered"


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_an_altered_tile(world: World, name: str) -> None:
    path = world.folder / name
    path.write_bytes(flip(path.read_bytes(), 40))
    assert refusal(world).code == "ledger.tile_altered"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("tile/0/001", "ledger.file_missing"),
        ("tile/1/000.p/2", "ledger.file_missing"),
        ("tile/entries/000", "ledger.file_missing"),
        ("tile/entries/002.p/88", "ledger.truncated"),
        ("checkpoint", "ledger.missing"),
    ],
)
def test_a_missing_file(world: World, name: str, code: str) -> None:
    (world.folder / name).unlink()
    assert refusal(world).code == code


# --- checkpoints and what was seen of the log -------------------------------------------------


def test_a_deleted_log(world: World) -> None:
    shutil.rmtree(world.folder)
    assert refusal(world).code == "ledger.missing"
    assert not world.folder.exists(), "nothing may be made in its place"


def test_a_deleted_marker(world: World) -> None:
    world.seen.unlink()
    assert refusal(world).code == "ledger.seen_missing"


@pytest.mark.parametrize("content", [b"", b"\0" * 2048, b"x" * 2048, b"\0\5hello"])
def test_a_damaged_marker(world: World, content: bytes) -> None:
    world.seen.write_bytes(content)
    with pytest.raises(StrongroomError) as error:
        world.open().close()
    assert error.value.code == "ledger.seen_damaged"


def test_one_damaged_slot_of_the_marker_is_survived(world: World) -> None:
    whole = world.seen.read_bytes()
    for start in (0, 1024):
        world.seen.write_bytes(whole[:start] + flip(whole[start:], 50))
        look(world.state, world.name, world.key.public)


def test_a_marker_that_others_may_write(world: World) -> None:
    world.seen.chmod(0o622)
    assert refusal(world).code == "ledger.seen_damaged"


def test_a_linked_marker(world: World) -> None:
    world.seen.rename(world.seen.with_name("elsewhere"))
    world.seen.symlink_to(world.seen.with_name("elsewhere"))
    assert refusal(world).code == "ledger.seen_damaged"


def test_an_older_copy_of_the_whole_folder(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", 100)
    shutil.copytree(world.folder, tmp_path / "older")
    world.fill(50, first=100)
    shutil.rmtree(world.folder)
    shutil.copytree(tmp_path / "older", world.folder)
    error = refusal(world)
    assert error.code == "ledger.truncated"
    assert "ends after 100 records" in error.message
    assert "over 150" in error.message


def test_a_forked_history(tmp_path: Path) -> None:
    """Two histories with one key: the longer one does not continue the one that was seen."""
    world = make_world(tmp_path / "home", 100)
    fork = world.copy("fork")
    world.fill(20, first=100)
    fork.fill(60, first=500)
    shutil.rmtree(world.folder)
    shutil.copytree(fork.folder, world.folder)
    assert refusal(world).code == "ledger.forked"


def test_a_fork_is_told_from_a_cut_with_an_older_checkpoint_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", 100)
    verifier = world.key.verifier(world.name)
    fork = world.copy("fork")
    world.fill(20, first=100)
    fork.fill(60, first=500)
    older = parse_signed((world.folder / "checkpoint").read_bytes(), verifier, "it")
    with pytest.raises(StrongroomError) as error:
        verify(LogFolder(fork.folder), verifier, [older])
    assert error.value.code == "ledger.forked"
    forked = parse_signed((fork.folder / "checkpoint").read_bytes(), verifier, "it")
    with pytest.raises(StrongroomError) as error:
        verify(LogFolder(world.folder), verifier, [forked])
    assert error.value.code == "ledger.truncated"
    same = make_world(tmp_path / "third", 3)
    verify(LogFolder(same.folder), same.key.verifier(same.name), [])


def test_a_checkpoint_by_another_key(world: World, tmp_path: Path) -> None:
    other = LogKey.create(tmp_path / "other.key", name=world.key.public.name)
    verifier = world.key.verifier(world.name)
    raw = (world.folder / "checkpoint").read_bytes()
    signed = other.sign(parse_signed(raw, verifier, "it"))
    (world.folder / "checkpoint").write_bytes(signed)
    assert refusal(world).code == "ledger.checkpoint_invalid"


def test_another_log_of_the_same_key(world: World) -> None:
    other = World(world.path, world.key, "operator")
    other.fill(3)
    shutil.rmtree(world.folder)
    shutil.copytree(other.folder, world.folder)
    assert refusal(world).code == "ledger.other_log"


def test_a_flipped_bit_in_the_checkpoint(world: World) -> None:
    path = world.folder / "checkpoint"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\n600\n", b"\n601\n"))
    assert refusal(world).code == "ledger.checkpoint_invalid"
    path.write_bytes(whole[:-30])
    assert refusal(world).code == "ledger.checkpoint_malformed"


# --- the journal: records that are not in tiles yet -------------------------------------------


@pytest.fixture
def unpublished(tmp_path: Path) -> World:
    """Ten batches of one record each of which nothing is published, as kill -9 leaves them."""
    world = make_world(tmp_path / "home", 5)
    log = world.open(publish_seconds=3600)
    for number in range(5, 15):
        log.write(intent(number))
    crashed = world.copy("crashed")
    log.close()
    return crashed


def batches_of(world: World) -> tuple[Path, list[journal.Batch]]:
    (path,) = (world.folder / journal.FOLDER).iterdir()
    verifier = world.key.verifier(world.name)
    batches, _ = journal.decode_segment(path.read_bytes(), 0, verifier, "it", last=True)
    return path, batches


def write_batches(path: Path, batches: list[tuple[list[bytes], bytes]]) -> None:
    path.write_bytes(b"".join(journal.encode_batch(*batch) for batch in batches))


def test_unpublished_records_are_recovered(unpublished: World) -> None:
    _, found = look(unpublished.state, unpublished.name, unpublished.key.public)
    assert (found.published.size, found.newest.size) == (5, 15)
    with unpublished.open() as log:
        assert [recorded.index for recorded in log.records()] == list(range(15))
        assert log.write(intent(15)) == 15
    _, found = look(unpublished.state, unpublished.name, unpublished.key.public)
    assert found.published.size == 16


Batches = list[tuple[list[bytes], bytes]]
JOURNAL: dict[str, tuple[str, Callable[[Batches], Batches]]] = {
    "dropped": ("ledger.dropped", lambda b: [*b[:-3], *b[-2:]]),
    "reordered": ("ledger.reordered", lambda b: [*b[:-3], b[-2], b[-3], b[-1]]),
    "inserted": ("ledger.inserted", lambda b: [*b[:-3], b[-3], *b[-3:]]),
    "altered": (
        "ledger.altered",
        lambda b: [*b[:-2], ([b[-2][0][0].replace(b"Acme", b"Evil")], b[-2][1]), b[-1]],
    ),
    "emptied": ("ledger.dropped", lambda b: [*b[:-2], ([], b[-2][1]), b[-1]]),
    "truncated": ("ledger.truncated", lambda b: b[:-1]),
}


@pytest.mark.parametrize("kind", JOURNAL)
def test_tampered_journal(unpublished: World, kind: str) -> None:
    code, edit = JOURNAL[kind]
    path, batches = batches_of(unpublished)
    write_batches(path, edit([(batch.entries, batch.signed) for batch in batches]))
    assert refusal(unpublished).code == code


def test_a_journal_without_its_beginning(unpublished: World) -> None:
    path, batches = batches_of(unpublished)
    later = path.with_name(journal.segment_name(8))
    write_batches(later, [(b.entries, b.signed) for b in batches if b.start >= 8])
    path.unlink()
    error = refusal(unpublished)
    assert error.code == "ledger.dropped"
    assert "Record 5 " in error.message


def test_a_deleted_journal(unpublished: World) -> None:
    batches_of(unpublished)[0].unlink()
    assert refusal(unpublished).code == "ledger.truncated"


def test_a_signed_fork_in_the_journal(unpublished: World) -> None:
    """Somebody with the key signs another root over published records."""
    path, batches = batches_of(unpublished)
    forged = unpublished.key.sign(Checkpoint(batches[0].checkpoint.origin, 5, b"\1" * 32))
    parts = [(b.entries, b.signed) for b in batches]
    write_batches(path, [(parts[0][0], forged), *parts[1:]])
    assert refusal(unpublished).code == "ledger.forked"


@pytest.mark.parametrize("left", [1, 13, 14, 40, 400])
def test_a_batch_cut_short_was_never_acknowledged(unpublished: World, left: int) -> None:
    """What a crash in the middle of a write leaves: passed over, and gone after the next start."""
    path, batches = batches_of(unpublished)
    whole = path.read_bytes()
    torn = journal.encode_batch([b"x" * 500], batches[-1].signed)[:left]
    path.write_bytes(whole + torn)
    _, found = look(unpublished.state, unpublished.name, unpublished.key.public)
    assert found.newest.size == 15
    path.write_bytes(whole + b"\0" * 4096)
    with unpublished.open() as log:
        assert log.write(intent(15)) == 15
    assert look(unpublished.state, unpublished.name, unpublished.key.public)[1].newest.size == 16


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_of_the_journal_is_noticed(unpublished: World, data: st.DataObject) -> None:
    path, _ = batches_of(unpublished)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(flip(whole, at, data.draw(st.integers(0, 7))))
    try:
        with pytest.raises(StrongroomError) as error:
            look(unpublished.state, unpublished.name, unpublished.key.public)
        assert error.value.code in {"ledger.altered", "ledger.truncated", "ledger.dropped"}
    finally:
        path.write_bytes(whole)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_flipped_bit_of_any_file_is_noticed(original: World, data: st.DataObject) -> None:
    """In the files that the checkpoint needs; older partial tiles are not looked at."""
    needed = [tiles.bundle_path(*at) for at in tiles.bundles(SIZE)]
    needed += ["checkpoint", "tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"]
    path = original.folder / data.draw(st.sampled_from(needed))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(flip(whole, at, data.draw(st.integers(0, 7))))
    try:
        with pytest.raises(StrongroomError) as error:
            look(original.state, original.name, original.key.public)
        assert error.value.code in {
            "ledger.altered",
            "ledger.dropped",
            "ledger.tile_altered",
            "ledger.checkpoint_malformed",
            "ledger.checkpoint_invalid",
            "ledger.other_log",
        }
    finally:
        path.write_bytes(whole)


def test_a_folder_in_a_files_place(world: World) -> None:
    os.remove(world.folder / "tile/0/000")
    (world.folder / "tile/0/000").mkdir()
    assert refusal(world).code == "ledger.malformed"


def test_a_pipe_in_a_files_place_does_not_hang(world: World) -> None:
    os.remove(world.folder / "tile/0/000")
    os.mkfifo(world.folder / "tile/0/000")
    assert refusal(world).code == "ledger.malformed"


@given(st.binary(max_size=400), st.booleans())
def test_garbage_is_no_journal(raw: bytes, last: bool) -> None:
    key = VerifierKey("log", b"\1" * 32)
    with suppress(StrongroomError):
        assert journal.decode_segment(raw, 0, key, "it", last=last)[0] == []
