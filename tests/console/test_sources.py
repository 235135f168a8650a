"""A snapshot of a real home: its store, its logs, and a gateway's own word over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from strongroom.console.sources import HomeReader, ask
from strongroom.errors import EnvironmentLacks
from strongroom.ledger.entries import Refused, RequestFinal, RequestIntent, Signal, Switched
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.store.interface import KeyRecord, Organisation, Switch
from strongroom.store.limits import Amounts, Limits
from strongroom.telemetry.observer import KeeperLoad, ModelFacts, Observer
from strongroom.telemetry.operator_app import OperatorApp

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Store:
    """As much of an identity store as is read."""

    def __init__(self) -> None:
        self.broken = False

    def organisations(self) -> tuple[Organisation, ...]:
        if self.broken:
            raise EnvironmentLacks("store.unavailable", "The store is away.", action="Wait.")
        limits = Limits(day=Amounts(requests=10))
        names = ("Acme", "Globex", "Initech")
        return tuple(Organisation(name, NOW, limits) for name in names)

    def keys(self, organisation: str | None = None) -> tuple[KeyRecord, ...]:
        revoked = KeyRecord("1", "Acme", "", bytes(32), NOW, revoked_at=NOW)
        return (KeyRecord("0", "Acme", "", bytes(32), NOW), revoked)

    def switches(self) -> tuple[Switch, ...]:
        if self.broken:
            raise EnvironmentLacks("store.unavailable", "The store is away.", action="Wait.")
        return (Switch("tenant", "Initech", NOW, "why"), Switch("model", "smol", NOW))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def key(tmp_path: Path) -> LogKey:
    return LogKey.create(tmp_path / "log.key")


@contextmanager
def listening(app: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server._serve([listener]),))
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        loop.close()
        listener.close()


def reader(store: Store, state: Path, key: LogKey, *gateways: str) -> HomeReader:
    def explain(signal: Signal) -> str:
        return f"about {signal.detector}"

    return HomeReader(store, state, key.public, gateways, explain)  # type: ignore[arg-type]


def test_everything_comes_together(store: Store, state: Path, key: LogKey) -> None:
    with open_log(state, "gateway", key) as log:
        log.write(RequestIntent("a", "Globex", "0", "chat", "smol", {"requests": 1}))
        log.write(RequestFinal("a", "answered", {"requests": 1, "egress_millibits": 5000}))
        log.write(Refused("b", "gateway.denied_parameter", 400, "Globex"))
        log.write(Signal("grid", "Globex", 950, 900, "none"))
    with open_log(state, "operator", key) as log:
        log.write(Switched("organisation", "Initech", False, "ada", "why"))
    shot = reader(store, state, key).snapshot()
    assert shot.problems == ()
    assert [each.name for each in shot.organisations] == ["Initech", "Globex", "Acme"]
    initech, globex, acme = shot.organisations
    assert initech.off is not None
    assert (initech.off.reason, initech.off.by) == ("why", "ada")
    assert (globex.requests_day, globex.refused_day, globex.signals_day) == (1, 1, 1)
    assert globex.egress_bits_day == 5
    assert globex.fullest is not None
    assert globex.fullest.share == 0.1
    assert acme.keys == 1
    assert [each.code for each in shot.refusals] == ["gateway.denied_parameter"]
    assert [each.explanation for each in shot.signals] == ["about grid"]
    assert [(each.name, each.state) for each in shot.logs] == [
        ("gateway", "verified"),
        ("operator", "verified"),
    ]
    assert [each.what for each in shot.acts] == ["switched off"]


def test_a_store_that_is_away_leaves_the_rest(store: Store, state: Path, key: LogKey) -> None:
    with open_log(state, "gateway", key) as log:
        log.write(Refused("b", "gateway.denied_parameter", 400, "Globex"))
    store.broken = True
    shot = reader(store, state, key).snapshot()
    assert shot.problems == ("The store is away.",)
    assert shot.organisations == ()
    assert len(shot.refusals) == 1


def test_a_gateway_says_how_it_stands(store: Store, state: Path, key: LogKey) -> None:
    observer = Observer()
    facts = ModelFacts(
        "smol", "acme/smol", 3, "ab", "causal-lm", {"*": "text"}, {"mdwe": "on"}, "", 54e6
    )
    with listening(OperatorApp(observer)) as address:
        (gateway,) = reader(store, state, key, address).snapshot().gateways
        assert (gateway.problem, gateway.keeper_up, gateway.model) == ("", False, "")
        observer.model(facts)
        observer.keeper(KeeperLoad(1, 2, 3.0, 2e6, 4e6, 20e6))
        observer.request("chat")
        (gateway,) = reader(store, state, key, address).snapshot().gateways
    assert gateway.model == "smol"
    assert gateway.off is not None
    assert (gateway.active, gateway.waiting, gateway.in_flight) == (1, 2, 1)
    assert gateway.egress is not None
    assert gateway.egress.days_at_rate == 27
    assert gateway.health == "attention"


def test_a_gateway_that_is_away_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert ask(f"127.0.0.1:{port}", {}).problem == "Connection refused."


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (200, b"{}"), (200, b'{"since": -1}'), (500, b""), (200, b"x" * 2**21)],
)
def test_what_is_no_gateway_is_a_sentence(status: int, body: bytes) -> None:
    async def other(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with listening(other) as address:
        gateway = ask(address, {})
    assert gateway.problem
    assert gateway.health == "bad"


def test_a_gateway_that_never_answers_does_not_hold_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("strongroom.console.sources._STATUS_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gateway = ask(f"127.0.0.1:{silent.getsockname()[1]}", {})
    assert "in time" in gateway.problem or "timed out" in gateway.problem


def test_the_console_reads_what_the_gateway_writes() -> None:
    """The two sides of /status are written apart: the fields that one reads, the other has."""
    from strongroom.console.sources import _Load, _Model, _Status
    from strongroom.telemetry.operator_app import status

    observer = Observer()
    observer.model(ModelFacts("m", "m", 1, "", "causal-lm", {}, {}, ""))
    observer.keeper(KeeperLoad(0, 0, 0, 0, 0, 0))
    said = json.loads(json.dumps(status(observer)))
    assert set(_Status.__struct_fields__) <= set(said)
    assert set(_Model.__struct_fields__) <= set(said["model"])
    assert set(_Load.__struct_fields__) == set(said["load"])
