"""A request leaves nothing to the collector of cycles: its memory is free when it is answered."""

from __future__ import annotations

import asyncio
import gc
import http.client
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from strongroom.gateway.http import Request
from strongroom.gateway.http_protocol import Cycle, bounded_protocol

App = Callable[[Any, Any, Any], Awaitable[None]]
TIMES = 20


@contextmanager
def serving(app: App) -> Iterator[int]:
    """The port of ``app`` behind the gateway's protocol, in a thread of this process."""
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        lifespan="off",
        loop="asyncio",
        http=bounded_protocol(4096, 5.0),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    (listening,) = server.servers[0].sockets
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)


def left_over(app: App) -> int:
    """How many ``Cycle`` objects only the collector finds after ``TIMES`` requests."""
    with serving(app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        gc.collect()
        gc.disable()
        try:
            for _ in range(TIMES):
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"{}"
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return sum(isinstance(found, Cycle) for found in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
            connection.close()


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await Request(scope, receive, send).answer({})


async def holding(scope: Any, receive: Any, send: Any) -> None:
    cycle = scope["strongroom.cycle"]
    await Request(scope, receive, send).answer({})
    scope["again"] = cycle


@pytest.mark.parametrize(("app", "least", "most"), [(plain, 0, 0), (holding, TIMES - 1, TIMES)])
def test_a_request_is_free_when_it_is_answered(app: App, least: int, most: int) -> None:
    """``holding`` is the control: there the collector has to find them."""
    assert least <= left_over(app) <= most
