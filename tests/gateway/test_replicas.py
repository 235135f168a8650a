"""Two gateways over one PostgreSQL and one Redis, as the official client meets them."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import openai
import pytest
from tokenizers import Tokenizer

from strongroom.boundary.frames import ModelCard
from strongroom.ledger.log_key import LogKey
from strongroom.store.interface import Switch
from strongroom.store.limits import Amounts, Limits
from strongroom.store.postgres import PostgresStore
from tests.store.counters.conftest import PROGRAM, Server

from .conftest import MODEL, Door

POSTGRES = os.environ.get("STRONGROOM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1/test")
ASK = [{"role": "user", "content": "hello"}]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Replica(Door):
    """One gateway of several that share pepper, store and counters."""

    def __init__(self, folder: Path, first: Replica | None, store: PostgresStore, **more: object):
        self._first, self._shared = first, store
        super().__init__(folder, **more)  # type: ignore[arg-type]

    def start(self) -> None:
        self.store.close()
        self.store = self._shared  # type: ignore[assignment]
        if self._first is not None:  # the pepper is one for all, and so is the key of the logs
            shutil.copy(self._first.folder / "pepper", self.folder / "pepper")
            self.pepper = self._first.pepper
        super().start()

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=20)
        self.keeper.close()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {type(error).__name__}")
    name = f"strongroom_test_{uuid.uuid4().hex}"
    admin.execute(f"CREATE SCHEMA {name}")
    yield f"{POSTGRES}?options=-csearch_path%3D{name}"
    admin.execute(f"DROP SCHEMA {name} CASCADE")
    admin.close()


@pytest.fixture(scope="module")
def counters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own: other tests must not find what ours keeps."""
    pytest.importorskip("redis", reason="the extra `redis` is not installed")
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.kill()


@pytest.fixture(scope="module")
def doors(
    tmp_path_factory: pytest.TempPathFactory,
    card: ModelCard,
    tokenizer: Tokenizer,
    database: str,
    counters: str,
) -> Iterator[tuple[Replica, Replica]]:
    store = PostgresStore(database)
    made: list[Replica] = []
    try:
        for name in ("a", "b"):
            folder = tmp_path_factory.mktemp(name)
            more = {"database": database, "counters": counters, "replica": name}
            first = made[0] if made else None
            made.append(Replica(folder, first, store, card=card, tokenizer=tokenizer, **more))
        yield made[0], made[1]
    finally:
        for each in made:
            each.close()
        store.close()


def asks(door: Door, key: str, **more: object) -> str:
    """``ok``, or the code of the refusal."""
    with door.client(key) as client:
        try:
            client.chat.completions.create(model=MODEL, messages=ASK, **more)  # type: ignore[call-overload]
        except openai.APIStatusError as error:
            return str(error.code)
    return "ok"


def until(door: Door, key: str, said: str, seconds: float = 1.0) -> float:
    """How long it takes until the door answers so; fails after ``seconds``."""
    begun = time.monotonic()
    while (answer := asks(door, key, max_tokens=1)) != said:
        assert time.monotonic() - begun < seconds, f"{answer} after {seconds} seconds"
        time.sleep(0.02)
    return time.monotonic() - begun


def test_a_key_made_at_one_works_at_both_and_its_end_is_felt_within_a_second(
    doors: tuple[Replica, Replica],
) -> None:
    key = doors[0].new_key("revoked")
    assert [asks(door, key) for door in doors] == ["ok", "ok"]
    for _ in range(3):  # it is in every memory there is
        assert [asks(door, key, max_tokens=1) for door in doors] == ["ok", "ok"]
    doors[0].store.revoke_key(key.split("_")[1], NOW)
    for door in doors:
        until(door, key, "gateway.invalid_api_key")


def test_a_budget_is_one_for_both_and_never_exceeded(doors: tuple[Replica, Replica]) -> None:
    store = doors[0].store
    requests = doors[0].new_key("requests")
    store.set_organisation_limits("requests", Limits(total=Amounts(requests=30)))
    tokens = doors[0].new_key("tokens")
    store.set_organisation_limits("tokens", Limits(total=Amounts(output_tokens=60)))
    time.sleep(1)
    served = sum(len(door.keeper.generated()) for door in doors)
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda n: asks(doors[n % 2], requests, max_tokens=1), range(48)))
    assert said.count("ok") == 30
    assert set(said) - {"gateway.limit_reached"} == {"ok", "gateway.limit_too_small"}
    assert sum(len(door.keeper.generated()) for door in doors) - served == 30
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda n: asks(doors[n % 2], tokens, max_tokens=2), range(48)))
    # "hello world" is cut at two tokens; each request may spend two of sixty
    assert said.count("ok") == 30
    assert asks(doors[0], requests) == asks(doors[1], tokens) == "gateway.limit_too_small"


def test_changed_limits_are_felt_at_both_within_a_second(doors: tuple[Replica, Replica]) -> None:
    key = doors[0].new_key("changed")
    assert [asks(door, key) for door in doors] == ["ok", "ok"]
    doors[0].store.set_organisation_limits("changed", Limits(total=Amounts(requests=2)))
    for door in doors:
        until(door, key, "gateway.limit_too_small")


def test_the_kill_switch_ends_streams_at_both_within_a_second(
    doors: tuple[Replica, Replica],
) -> None:
    key, other = doors[0].new_key("switched"), doors[0].new_key("bystander")
    streams = []
    try:
        for door in doors:
            door.keeper.answer, door.keeper.pause = "one two three " * 300, 0.02
            stream = door.client(key).chat.completions.create(
                model=MODEL, messages=ASK, stream=True, max_tokens=400
            )
            chunks = iter(stream)
            next(chunks)
            streams.append(chunks)
        doors[0].store.switch_off(Switch("tenant", "switched", NOW))
        begun = time.monotonic()
        for chunks in streams:
            with pytest.raises(openai.APIError) as caught:
                list(chunks)
            assert caught.value.code == "gateway.switched_off"
        assert time.monotonic() - begun < 1.0
    finally:
        for door in doors:
            door.keeper.answer, door.keeper.pause = "hello world", 0.0
    assert [asks(door, key) for door in doors] == ["gateway.switched_off"] * 2
    assert [asks(door, other) for door in doors] == ["ok", "ok"]
    doors[0].store.switch_on("tenant", "switched")
    for door in doors:
        until(door, key, "ok")


def test_each_writes_a_log_of_its_own_that_verifies(doors: tuple[Replica, Replica]) -> None:
    from strongroom.ledger.opening import look

    for door, name in zip(doors, "ab", strict=True):
        public = LogKey.load(door.folder / "log.key").public
        _, verified = look(door.state, f"gateway-{name}", public)
        assert verified.published.size + len(verified.unpublished) > 10


def test_a_database_that_goes_away_refuses_those_that_are_not_known(
    doors: tuple[Replica, Replica], database: str
) -> None:
    """Its tables are renamed, so that every look fails as it would without the server."""
    import psycopg

    key = doors[0].new_key("outage")
    assert asks(doors[0], key) == "ok"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE api_keys RENAME TO api_keys_away")
        try:
            unknown = f"sr_{'0' * 16}_{'a' * 43}"
            assert asks(doors[0], unknown) == "gateway.unavailable"
        finally:
            admin.execute("ALTER TABLE api_keys_away RENAME TO api_keys")
    until(doors[0], key, "ok")
