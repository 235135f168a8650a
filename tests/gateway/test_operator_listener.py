"""The operators' listener beside a gateway: metrics and status of a keeper that is asked."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import strongroom.gateway.operator_listener as operator_listener
from strongroom.boundary.frames import Hello
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.operator_listener import TimedRecord, observing, watched
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.watching import Watching
from strongroom.ledger.entries import KeyChanged
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.telemetry.observer import Observer

from .fake_keeper import FakeKeeper, classifier_card

pytest.importorskip("prometheus_client")


async def get(url: str) -> tuple[int, bytes]:
    def ask() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return await asyncio.to_thread(ask)


def with_keeper(work: Callable[[FakeKeeper, KeeperClient, Hello], Awaitable[None]]) -> None:
    async def whole() -> None:
        keeper = FakeKeeper(classifier_card({"*": "label"}))
        keeper.start()
        try:
            client, hello = await KeeperClient.connect(keeper.gateway, 60)
            await work(keeper, client, hello)
            client.close()
        finally:
            keeper.close()

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_operators_see_model_load_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_listener, "ASK_SECONDS", 0.05)

    async def work(keeper: FakeKeeper, client: KeeperClient, hello: Hello) -> None:
        observer = Observer()
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with watched(Watching(), observer, "digits", (client, hello), listener):
            status, body = await get(url + "/status")
            while json.loads(body)["load"] is None:
                status, body = await get(url + "/status")
            said = json.loads(body)
            assert status == 200
            assert said["model"]["name"] == "digits"
            assert said["model"]["walls"] == {"seccomp": "on"}
            assert said["load"]["budget_day"] == 200
            assert (await get(url + "/readyz"))[0] == 200
            _, metrics = await get(url + "/metrics")
            assert b'strongroom_egress_budget_bits{window="day"} 200.0' in metrics
            assert (await get(url + "/v1/models"))[0] == 404
            keeper.close()
            while (await get(url + "/readyz"))[0] == 200:
                await asyncio.sleep(0.01)
            assert b"strongroom_keeper_up 0.0" in (await get(url + "/metrics"))[1]
        with pytest.raises(urllib.error.URLError):
            await get(url + "/healthz")

    with_keeper(work)


def test_questions_to_the_keeper_share_an_answer() -> None:
    async def work(keeper: FakeKeeper, client: KeeperClient, hello: Hello) -> None:
        first, second = await asyncio.gather(client.status(), client.status())
        assert first is second
        keeper.close()
        await client.closed.wait()
        with pytest.raises(Refusal):
            await client.status()

    with_keeper(work)


def test_a_keeper_that_is_lost_while_asked() -> None:
    async def work(keeper: FakeKeeper, client: KeeperClient, hello: Hello) -> None:
        keeper.silent = True
        asked = asyncio.ensure_future(client.status())
        await asyncio.sleep(0.05)
        keeper.close()
        with pytest.raises(Refusal) as caught:
            await asked
        assert caught.value.code == "gateway.keeper_gone"

    with_keeper(work)


def test_commits_are_timed(tmp_path: Path) -> None:
    observer = Observer()
    (tmp_path / "state").mkdir(mode=0o700)
    entry = KeyChanged("0" * 16, "Acme", "created")
    with open_log(tmp_path / "state", "gateway", LogKey.create(tmp_path / "log.key")) as log:
        record = TimedRecord(log, observer)
        assert record.write(entry) == 0
        assert asyncio.run(record.append(entry)) == 1
    assert observer.numbers.log_entries == 2
    assert dict(observer.numbers.commit_seconds.cumulative())["+Inf"] == 2


def test_traces_are_off_unless_a_collector_is_named() -> None:
    with observing(Watching(), "smol") as observer:
        assert observer._tracer is None
    pytest.importorskip("opentelemetry.sdk")
    with observing(Watching(traces="http://127.0.0.1:9/v1/traces"), "smol") as observer:
        assert observer._tracer is not None
