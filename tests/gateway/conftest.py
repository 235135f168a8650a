"""A real gateway process before a fake keeper."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai import OpenAI
from tokenizers import Tokenizer

from strongroom.boundary.frames import ModelCard, Rung
from strongroom.gateway.api_keys import digest, make_key
from strongroom.gateway.config import GatewayConfig
from strongroom.ledger.entries import AnyEntry
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records
from strongroom.store.interface import KeyRecord
from strongroom.store.sqlite import SqliteStore

from .fake_keeper import TEMPLATE, FakeKeeper, classifier_card, language_card, small_tokenizer

MODEL = "smol"


class Door:
    """A running gateway, the keeper behind it, and a way to make keys."""

    def __init__(self, folder: Path, card: ModelCard, tokenizer: Tokenizer | None, **config: Any):
        self.folder, self.card, self.tokenizer, self.config = folder, card, tokenizer, config
        self.pepper = secrets.token_bytes(32)
        pepper = folder / "pepper"
        pepper.write_bytes(self.pepper)
        pepper.chmod(0o600)
        self.store = SqliteStore(folder / "keys.sqlite3")
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        log_key = LogKey.create(folder / "log.key")
        self.verifier = log_key.public
        self.start()
        self.key = self.new_key("acme")

    def start(self) -> None:
        """A new process before a new keeper."""
        folder = self.folder
        self.keeper = FakeKeeper(self.card, self.tokenizer)
        ready_read, ready_write = os.pipe()
        config_read, config_write = os.pipe()
        values: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": 0,
            "boundary_fd": self.keeper.gateway.fileno(),
            "ready_fd": ready_write,
            "database": str(folder / "keys.sqlite3"),
            "pepper": str(folder / "pepper"),
            "log_key": str(folder / "log.key"),
            "state": str(self.state),
            "model_name": MODEL,
        }
        settings = GatewayConfig(**{**values, **self.config})
        os.write(config_write, msgspec.json.encode(settings))
        os.close(config_write)
        self.keeper.start()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "strongroom.gateway", "--config-fd", str(config_read)],
            pass_fds=(settings.boundary_fd, ready_write, config_read),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.keeper.gateway.close()
        os.close(ready_write)
        os.close(config_read)
        with os.fdopen(ready_read) as ready:
            line = ready.readline()
        if not line:
            raise RuntimeError(self.process.communicate(timeout=10)[1])
        self.url: str = json.loads(line)["url"]
        self.operators: str = json.loads(line)["operators"]
        self.port = int(self.url.rpartition(":")[2])

    def restart(self) -> None:
        """Another process for the same home, after the first has ended."""
        self.process.wait(20)
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.keeper.close()
        self.start()

    def new_key(self, organisation: str, **changes: Any) -> str:
        key_id, text = make_key()
        self.store.add_organisation(organisation)
        self.store.add_key(
            KeyRecord(
                id=key_id,
                organisation=organisation,
                name="test",
                digest=digest(self.pepper, text),
                created_at=datetime.now(UTC),
                **changes,
            )
        )
        return text

    def records(self) -> list[AnyEntry]:
        """The entries of the log, which is verified."""
        folder, verified = look(self.state, "gateway", self.verifier)
        found = records(folder, verified.published.size, verified.unpublished)
        return [each.entry for each in found]

    def client(self, key: str | None = None) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0, timeout=20)

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=20)
        self.keeper.close()
        self.store.close()


RUNGS: dict[str, Rung] = {
    "*": "text",
    "trusted": "topk",
    "one": "top1",
    "shut": "closed",
    "near": "embeddings",
}
OpenDoor = Callable[..., Door]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return small_tokenizer()


@pytest.fixture(scope="session")
def card(tokenizer: Tokenizer) -> ModelCard:
    return language_card(tokenizer, RUNGS, TEMPLATE)


@pytest.fixture
def open_door(tmp_path: Path, card: ModelCard, tokenizer: Tokenizer) -> Iterator[OpenDoor]:
    """Makes doors of one's own, for tests that break them or configure them."""
    with ExitStack() as stack:

        def make(model: ModelCard = card, **config: Any) -> Door:
            folder = tmp_path / secrets.token_hex(4)
            folder.mkdir()
            door = Door(folder, model, tokenizer, **config)
            stack.callback(door.close)
            return door

        yield make


@pytest.fixture(scope="session")
def shared_door(
    tmp_path_factory: pytest.TempPathFactory, card: ModelCard, tokenizer: Tokenizer
) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("door"), card, tokenizer)
    yield door
    door.close()


@pytest.fixture
def door(shared_door: Door) -> Door:
    """The shared door, its keeper back to normal and with nothing recorded."""
    keeper = shared_door.keeper
    keeper.answer, keeper.answer_ids, keeper.end = "hello world", None, "stop"
    keeper.refuse, keeper.raw, keeper.rows, keeper.pause = None, None, None, 0.0
    keeper.frames.clear()
    return shared_door


@pytest.fixture(scope="session")
def classifier_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("classifier"), classifier_card(RUNGS), None)
    yield door
    door.close()
