"""A log is followed while it is written, and what was done to it is noticed and said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import strongroom.console.following as following
from strongroom.console.following import Follower
from strongroom.ledger.entries import KeyChanged, Recorded
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log


class Home:
    """A home's state with one log, and a follower of it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.key = LogKey.create(folder / "log.key")
        self.taken: list[Recorded] = []
        self.follower = Follower(self.state, "gateway", self.key.public)
        self.written = 0

    @property
    def log(self) -> Path:
        return self.state / "log" / "gateway"

    def write(self, count: int) -> None:
        with open_log(self.state, "gateway", self.key) as log:
            self.write_to(log, count)

    def write_to(self, log: object, count: int) -> None:
        for _ in range(count):
            log.write(KeyChanged(f"{self.written:016x}", "Acme", "created"))  # type: ignore[attr-defined]
            self.written += 1

    def follow(self) -> str:
        self.follower.catch_up(self.taken.append)
        places = [each.index for each in self.taken]
        assert places == sorted(set(places))
        return self.follower.log().state


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_records_are_handed_over_once_and_in_order(home: Home) -> None:
    home.write(3)
    assert home.follow() == "verified"
    assert len(home.taken) == 3
    home.write(300)
    assert home.follow() == "verified"
    assert home.follow() == "verified"
    assert len(home.taken) == 303
    shown = home.follower.log()
    assert shown.entries == 303
    assert shown.sentence == "All 303 entries hold under the signed checkpoint."
    assert shown.newest is not None


def test_what_is_durable_but_not_published_is_seen(home: Home) -> None:
    with open_log(home.state, "gateway", home.key, publish_seconds=3600) as log:
        for _ in range(5):
            home.write_to(log, 60)
            assert home.follow() == "verified"
            assert len(home.taken) == home.written
        home.follower.recheck()
        assert home.follow() == "verified"
    home.write(1)
    assert home.follow() == "verified"
    assert len(home.taken) == home.written


def test_a_long_log_is_read_in_portions(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_AT_ONCE", 200)
    home.write(700)
    states = [home.follow() for _ in range(4)]
    assert states == ["reading", "reading", "reading", "verified"]
    assert len(home.taken) == 700


def test_a_log_that_is_not_there_yet(home: Home) -> None:
    assert home.follow() == "empty"
    home.write(1)
    assert home.follow() == "verified"


def _flip(home: Home) -> None:
    bundle = next((home.log / "tile" / "entries").rglob("000"))
    content = bytearray(bundle.read_bytes())
    content[40] ^= 1
    bundle.write_bytes(content)


def _cut(home: Home) -> None:
    copy = home.state / "copy"
    shutil.move(home.log, home.state / "whole")
    shutil.move(copy, home.log)


def _delete(home: Home) -> None:
    shutil.rmtree(home.log)


def _forget(home: Home) -> None:
    (home.state / "log.seen" / "gateway").unlink()


def _sign_anew(home: Home) -> None:
    (home.log / "checkpoint").write_text("strongroom-x/gateway\n0\nAAAA\n\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_flip, "changed"),
        (_cut, "cut off"),
        (_delete, "deleted or moved"),
        (_forget, "does not"),
        (_sign_anew, "checkpoint"),
    ],
)
@pytest.mark.parametrize("before", [False, True], ids=["found", "followed"])
def test_damage_is_noticed_and_said(
    home: Home, damage: Callable[[Home], None], said: str, before: bool
) -> None:
    home.write(400)
    shutil.copytree(home.log, home.state / "copy")
    home.write(200)
    if before:
        assert home.follow() == "verified"  # control
    damage(home)
    home.follow()
    home.follower.recheck()
    assert home.follow() == "damaged"
    assert said in home.follower.log().sentence
    taken = len(home.taken)
    home.follow()
    assert len(home.taken) == taken


def test_another_homes_key_verifies_nothing(home: Home, tmp_path: Path) -> None:
    home.write(3)
    other = LogKey.create(tmp_path / "other.key")
    follower = Follower(home.state, "gateway", other.public)
    follower.catch_up(home.taken.append)
    assert follower.log().state == "damaged"
    assert home.taken == []
