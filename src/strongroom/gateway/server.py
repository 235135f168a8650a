"""A gateway from its configuration to its end.

1. Read the pepper, open the store.
2. Take over the socket; wait for the keeper's greeting; prove tokenizer and template.
3. Listen; say so on ``ready_fd``.
4. Serve until SIGTERM (finish what is under way, exit 0) or until the keeper is gone (answer 503
   to what is under way, exit with the error's code).
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import msgspec
import uvicorn

from strongroom.boundary.frames import Hello
from strongroom.errors import ConfigurationRefused
from strongroom.gateway.admission import Admission
from strongroom.gateway.api_keys import Authenticator
from strongroom.gateway.app import Gateway
from strongroom.gateway.config import GatewayConfig, read_pepper
from strongroom.gateway.http_protocol import bounded_protocol
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.served_model import ServedModel
from strongroom.process import inherited_socket
from strongroom.store.sqlite import SqliteStore

_DRAIN_SECONDS = 10


async def serve(config: GatewayConfig) -> None:
    """Run a gateway to its end.

    Raises:
        StrongroomError: it cannot start, or the keeper is gone (``gateway.keeper_gone``,
            ``gateway.keeper_violation`` or what was wrong with the stream).
    """
    with ExitStack() as stack:
        pepper = read_pepper(Path(config.pepper))  # (1)
        store = stack.enter_context(SqliteStore(Path(config.database)))
        keeper, hello = await KeeperClient.connect(  # (2)
            inherited_socket(config.boundary_fd, "boundary_fd")
        )
        stack.callback(keeper.close)
        model = ServedModel(config.model_name, hello.card, config.text)
        admission = Admission(
            Authenticator(store, pepper), config.max_body_bytes, config.body_seconds
        )
        listener = stack.enter_context(_listen(config.host, config.port))  # (3)
        server = uvicorn.Server(_uvicorn(config, Gateway(admission, model, keeper)))
        watch = asyncio.ensure_future(_stop_without_keeper(server, keeper))
        _announce(config, hello, listener)
        try:
            await server.serve(sockets=[listener])  # (4)
        finally:
            watch.cancel()
        if keeper.error is not None:
            raise keeper.error


async def _stop_without_keeper(server: uvicorn.Server, keeper: KeeperClient) -> None:
    await keeper.closed.wait()
    server.should_exit = True


def _uvicorn(config: GatewayConfig, app: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=bounded_protocol(config.max_head_bytes, config.head_seconds),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,  # that of the process, which quotes nothing
        server_header=False,
        proxy_headers=False,
        limit_concurrency=config.max_connections,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigurationRefused(
            "gateway.cannot_listen",
            f"Cannot listen on {host} port {port}: {error.strerror}.",
            action="Choose another address or port.",
        ) from None
    return listener


def _announce(config: GatewayConfig, hello: Hello, listener: socket.socket) -> None:
    """One line for the supervisor: where we listen, and what the keeper said of itself."""
    port = listener.getsockname()[1]
    shown = f"[{config.host}]" if ":" in config.host else config.host
    said = {
        "ready": True,
        "url": f"http://{shown}:{port}",
        "kind": hello.card.kind,
        "rungs": hello.card.rungs,
        "walls": hello.walls,
        "egress": hello.egress,
    }
    try:
        with os.fdopen(config.ready_fd, "wb") as ready:
            ready.write(msgspec.json.encode(said) + b"\n")
    except OSError as error:
        raise ConfigurationRefused(
            "gateway.bad_ready_fd",
            f"Descriptor {config.ready_fd} cannot be written: {error.strerror}.",
            action="Hand down the writing end of a pipe as ready_fd.",
        ) from None
