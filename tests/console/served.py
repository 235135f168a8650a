"""A console on a real port, in a thread of the tests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from tests.console.world import World, make_world


@dataclass
class Served:
    """Where it listens, and the world that it shows."""

    url: str
    world: World


@contextmanager
def serve(folder: Path) -> Iterator[Served]:
    world = make_world(folder)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        world.console, ws="none", lifespan="off", log_config=None, server_header=False
    )
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server._serve([listener]),))
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", world)
    finally:
        server.should_exit = True
        thread.join(10)
        loop.close()
        listener.close()
