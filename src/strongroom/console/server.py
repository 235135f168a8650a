"""Serves the console until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from strongroom.console.app import Console, Parts
from strongroom.errors import ConfigurationRefused


def serve(parts: Parts, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Listen on ``host`` and ``port`` (0: a free one); ``ready`` gets the URL once it does.

    Raises:
        ConfigurationRefused: ``console.cannot_listen``.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(64)
        except OSError as error:
            raise ConfigurationRefused(
                "console.cannot_listen",
                f"Cannot listen on {host} port {port}: {error.strerror}.",
                action="Choose another address or port.",
            ) from None
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{listener.getsockname()[1]}")
        asyncio.run(_serve(parts, listener))


async def _serve(parts: Parts, listener: socket.socket) -> None:
    config = uvicorn.Config(
        Console(parts),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=64,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=2,
    )
    await uvicorn.Server(config).serve(sockets=[listener])
