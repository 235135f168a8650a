"""Which session a runner takes, and how one ends that nobody uses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from strongroom.cli.main import run
from strongroom.cli.tune_running import CHECKPOINT
from strongroom.cli.tune_session import next_session
from strongroom.cli.tune_workload import locked
from strongroom.ledger.entries import SessionChanged
from strongroom.store.sessions import StoredRequest, StoredSession
from strongroom.store.tuning import TuningStore, open_tuning_store
from strongroom.tune.policy import Tuning
from tests.cli.records import recorded

MANIFEST = "aa" * 32


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Path:
    assert run(["init", "--home", str(tmp_path / "home")]) == 0
    return tmp_path / "home"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TuningStore]:
    with open_tuning_store(str(tmp_path / "tuning.sqlite")) as opened:
        yield opened


def place(tmp_path: Path, store: TuningStore, **limits: Any) -> Any:
    """What ``next_session`` looks at of a runner's place."""

    def folder(name: str) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        return tmp_path / name

    tuning = Tuning(**({"primitives": True, "idle_seconds": 100.0} | limits))
    home = tmp_path / "home"
    settings = SimpleNamespace(tuning=tuning)
    home = SimpleNamespace(
        settings=settings, log_key=home / "keys" / "log.key", state=home / "state"
    )
    plan = SimpleNamespace(home=home, manifest=SimpleNamespace(digest=MANIFEST))
    return SimpleNamespace(plan=plan, store=store, folder=folder)


def session(name: str, used: float, **fields: Any) -> StoredSession:
    made = StoredSession(
        id=name,
        organisation="acme",
        model="smol",
        manifest=MANIFEST,
        recipe="{}",
        created_at=0,
        used_at=int(used),
    )
    return msgspec.structs.replace(made, **fields)


def test_the_oldest_that_is_used_and_has_no_runner_is_next(
    tmp_path: Path, store: TuningStore, home: Path
) -> None:
    now, here = time.time(), place(tmp_path, store)
    assert next_session(here) is None
    for each in (
        session("idle", now - 101, step=3),
        session("held", now),
        session("other", now, manifest="bb" * 32),
        session("next", now),
        session("later", now),
    ):
        assert store.add_session(each, 9)
    waits = StoredRequest(
        id="idle-1", organisation="acme", session="idle", number=1, kind="learn", at=int(now) - 101
    )
    store.add_request(waits, b"ids", 9)
    (here.folder("idle") / CHECKPOINT).write_bytes(b"sealed")
    with locked(here, "held"):
        found = next_session(here)
    assert found is not None
    assert found.id == "next"
    assert not (tmp_path / "idle" / CHECKPOINT).exists()
    ended, refused = store.session("idle"), store.request("acme", "idle-1")
    assert ended is not None
    assert refused is not None
    assert (ended.status, refused.status, refused.error) == ("over", "refused", "tune.session_over")
    assert "nothing was asked of it for 100 seconds" in refused.reason
    (over,) = [each for each in recorded(home) if isinstance(each, SessionChanged)]
    assert (over.session, over.change, over.code, over.steps) == ("idle", "over", "", 3)
    held = next_session(here)
    assert held is not None
    assert held.id == "held"  # its runner is gone


def test_a_grant_that_was_taken_back_leaves_sessions_alone(
    tmp_path: Path, store: TuningStore
) -> None:
    store.add_session(session("one", time.time()), 1)
    assert next_session(place(tmp_path, store, primitives=False)) is None
    assert next_session(place(tmp_path, store)) is not None  # positive control
