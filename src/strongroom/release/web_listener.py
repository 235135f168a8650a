"""The KBS wire over HTTP or HTTPS, with bounds on everything that a stranger can make grow.

- Without TLS only a loopback address is listened on.
- ``GET /healthz`` says whether decisions can still be made: no session, no secret, no detail.
- Nothing about a request is logged. The head's size and time are bounded by the protocol class that
  the caller brings, the body's by ``kbs.app``, connections here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

import uvicorn

from strongroom.errors import ConfigurationRefused
from strongroom.release.kbs.app import KbsApp

MAX_CONNECTIONS: Final = 256
DRAIN_SECONDS: Final = 5
HEALTH: Final = "/healthz"

_Message = MutableMapping[str, Any]


class Door:
    """``/healthz``, and everything else to the KBS.

    Args:
        kbs: the wire.
        well: whether decisions can be made.
    """

    def __init__(self, kbs: KbsApp, well: Callable[[], bool]) -> None:
        self._kbs, self._well = kbs, well

    async def __call__(self, scope: _Message, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] != HEALTH or scope["method"] != "GET":
            await self._kbs(scope, receive, send)
            return
        status, body = (200, b'{"status":"ok"}') if self._well() else (503, b'{"status":"failed"}')
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode("ascii")),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class WebListener:
    """Listens from its making on; ``run`` serves.

    Args:
        door: the application.
        host: a literal address or ``localhost``.
        port: 0 takes a free one.
        tls: the server's context; without one ``host`` must be a loopback address.
        protocol: an HTTP protocol class for uvicorn that bounds the head of a request.

    Raises:
        ConfigurationRefused: ``release.plain_http`` or ``release.cannot_listen``.
    """

    def __init__(
        self,
        door: Door,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        protocol: type[asyncio.Protocol],
    ) -> None:
        if tls is None and not _is_loopback(host):
            raise ConfigurationRefused(
                "release.plain_http",
                f"{host} can be reached from the network, and there is no TLS.",
                action="Give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy.",
            )
        self._socket = _listening(host, port)
        shown, bound = f"[{host}]" if ":" in host else host, self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{shown}:{bound}"
        config = uvicorn.Config(
            door,
            http=protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)

    def run(self, ready: Callable[[], None]) -> int:
        """Serve until SIGTERM, SIGINT or ``stop``; returns the signal's number, 0 for none.

        ``ready`` is called once a signal would end it in order.
        """
        return asyncio.run(self._run(ready))

    def stop(self) -> None:
        """Finish what is under way and end; from any thread."""
        self._server.should_exit = True

    def close(self) -> None:
        """Free the address."""
        self._socket.close()

    async def _run(self, ready: Callable[[], None]) -> int:
        asked: list[int] = []
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._note, asked, number)
        ready()
        await self._server.serve(sockets=[self._socket])
        return asked[0] if asked else 0

    def _note(self, asked: list[int], number: int) -> None:
        asked.append(number)
        self._server.force_exit = len(asked) > 1  # asked twice: at once
        self.stop()


class _Server(uvicorn.Server):
    """Leaves the process's signals to ``WebListener``, which says which one came."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise ConfigurationRefused(
            "release.cannot_listen",
            f"Cannot listen on {host} port {port}: {error.strerror}.",
            action="Choose another socket, address or port; a socket's path has 107 bytes at most.",
        ) from None
    return listener
