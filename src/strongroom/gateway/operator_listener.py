"""The gateway's side of watching it: the operators' listener, the keeper's load, commits timed.

``watched`` runs beside the public door: another listener with another application, which only
reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn

from strongroom.boundary.frames import Hello
from strongroom.errors import StrongroomError
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.watching import Watching
from strongroom.ledger.entries import AnyEntry
from strongroom.ledger.interface import Record
from strongroom.telemetry.observer import KeeperLoad, ModelFacts, Observer
from strongroom.telemetry.operator_app import OperatorApp
from strongroom.telemetry.traces import GenAiTracer, otlp_exporter

ASK_SECONDS: Final = 5.0
"""How often the keeper is asked how it stands."""


@contextlib.contextmanager
def observing(watching: Watching, model_name: str) -> Iterator[Observer]:
    """An observer, with traces if they are wanted; what is queued is sent at the end."""
    if not watching.traces:
        yield Observer()
        return
    tracer = GenAiTracer(model_name, otlp_exporter(watching.traces), watching.trace_share)
    try:
        yield Observer(tracer)
    finally:
        tracer.close()


class TimedRecord:
    """A record that tells the observer how long it took until an entry was durable."""

    def __init__(self, record: Record, observer: Observer) -> None:
        self._record = record
        self._observer = observer

    async def begin(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        return await self._record.begin(entry)

    async def durable(self, index: int) -> None:
        """See ``Record``."""
        await self._record.durable(index)

    async def append(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        began = time.perf_counter()
        index = await self._record.append(entry)
        self._observer.committed(index + 1, time.perf_counter() - began)
        return index

    def write(self, entry: AnyEntry) -> int:
        """See ``Record``."""
        began = time.perf_counter()
        index = self._record.write(entry)
        self._observer.committed(index + 1, time.perf_counter() - began)
        return index


@contextlib.asynccontextmanager
async def watched(
    watching: Watching,
    observer: Observer,
    model_name: str,
    keeper: tuple[KeeperClient, Hello],
    listener: socket.socket,
) -> AsyncIterator[None]:
    """Show ``observer`` to operators on ``listener`` while the context lasts."""
    client, hello = keeper
    observer.model(_facts(model_name, hello))
    server = _Server(_config(OperatorApp(observer, watching.names)))
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    asking = asyncio.ensure_future(_ask(client, observer))
    try:
        yield
    finally:
        asking.cancel()
        server.should_exit = True
        await asyncio.gather(serving, asking, return_exceptions=True)


class _Server(uvicorn.Server):
    """Leaves the process's signals to the public door."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


def _config(app: OperatorApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=32,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )


def _facts(model_name: str, hello: Hello) -> ModelFacts:
    card = hello.card
    return ModelFacts(
        model_name,
        card.model_id,
        card.release,
        card.manifest_digest,
        card.kind,
        card.rungs,
        hello.walls,
        hello.egress,
        hello.effective_bits,
    )


async def _ask(keeper: KeeperClient, observer: Observer) -> None:
    """Ask the keeper how it stands, again and again, until it is gone."""
    try:
        while True:
            status = await keeper.status()
            observer.keeper(
                KeeperLoad(
                    status.active,
                    status.waiting,
                    status.egress_bits_hour,
                    status.egress_bits_day,
                    status.budget_bits_hour,
                    status.budget_bits_day,
                )
            )
            await asyncio.sleep(ASK_SECONDS)
    except StrongroomError:
        observer.keeper_gone()
