"""Counters of each kind with a clock that the test moves, and a Redis server of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from strongroom.store.counters.interface import Counters
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.counters.redis import RedisCounters

REDIS = os.environ.get("STRONGROOM_TEST_REDIS", "redis://127.0.0.1:6379/9")
PROGRAM = os.environ.get("STRONGROOM_TEST_REDIS_SERVER", "redis-server")
"""The server that tests start for themselves; a path to Valkey's does as well."""

_T = TypeVar("_T")


class Time:
    """Microseconds since the epoch, as the test has it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


class World:
    """One event loop, one clock, and the counters that it opened."""

    def __init__(self, kind: str, url: str = REDIS) -> None:
        self.loop = asyncio.new_event_loop()
        self.time = Time()
        self.kind = kind
        self.url = url
        self.prefix = f"{{test-{uuid.uuid4().hex}}}:"
        self.opened: list[Counters] = []

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run_until_complete(work)

    def open(self) -> Counters:
        if self.kind == "memory":
            made: Counters = self.opened[0] if self.opened else MemoryCounters(self.time)
        else:
            made = RedisCounters(self.url, self.prefix, self.time)
            self.run(made.begin())
        self.opened.append(made)
        return made

    def close(self) -> None:
        for counters in self.opened:
            self.run(counters.close())
        self.loop.close()
        if self.kind == "redis":
            import redis

            with contextlib.suppress(redis.RedisError):
                client = redis.Redis.from_url(self.url)
                for key in client.scan_iter(f"{self.prefix}*"):
                    client.delete(key)
                client.close()


def redis_answers(url: str = REDIS) -> bool:
    redis = pytest.importorskip("redis", reason="the extra `redis` is not installed")
    try:
        return bool(redis.Redis.from_url(url, socket_connect_timeout=1).ping())
    except redis.RedisError:
        return False


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "redis" and not redis_answers():
        pytest.skip(f"no Redis at {REDIS}")
    made = World(request.param)
    yield made
    made.close()


@pytest.fixture
def shared() -> Iterator[World]:
    """Counters in Redis only."""
    if not redis_answers():
        pytest.skip(f"no Redis at {REDIS}")
    made = World("redis")
    yield made
    made.close()


class Server:
    """A Redis server on a port of its own, with a file that it keeps its data in."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, forget: bool = False) -> None:
        if forget:
            shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        words = [PROGRAM, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.folder)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        for _ in range(100):
            if redis_answers(self.url):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{PROGRAM} does not answer")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    made = Server(tmp_path)
    made.start()
    yield made
    made.kill()


Opens = Callable[[], Counters]
