"""The note beside the log key: what it notices when the whole folder ``state`` is gone or old."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from strongroom.errors import LedgerRefused
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from tests.ledger.logs import make_world


def test_a_log_that_was_begun_does_not_begin_anew(tmp_path: Path) -> None:
    """Deleting all that the folder `state` holds is noticed by the note beside the key."""
    world = make_world(tmp_path / "home", 3, 2)
    shutil.rmtree(world.state)
    world.state.mkdir()
    with pytest.raises(LedgerRefused) as caught:
        world.open()
    assert caught.value.code == "ledger.missing"
    assert not any(world.state.rglob("*"))  # and nothing was begun


def test_a_whole_state_put_back_to_an_older_one_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", 3)
    shutil.copytree(world.state, tmp_path / "old")
    world.fill(4, first=3)
    world.open().close()  # notes that there are seven
    shutil.rmtree(world.state)
    shutil.copytree(tmp_path / "old", world.state)
    with pytest.raises(LedgerRefused) as caught:
        world.open()
    assert caught.value.code == "ledger.truncated"


def test_a_damaged_note_is_refused_and_a_moved_home_is_not(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", 3)
    moved = world.path.rename(tmp_path / "moved")
    key = LogKey.load(moved / "log.key")
    open_log(moved / "state", world.name, key).close()
    (note,) = (moved / "log.begun").iterdir()
    note.write_bytes(note.read_bytes().replace(b"3", b"2", 1))
    with pytest.raises(LedgerRefused) as caught:
        open_log(moved / "state", world.name, key)
    assert caught.value.code == "ledger.begun_damaged"
