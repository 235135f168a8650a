"""uvicorn's HTTP protocol with bounds on the head of a request: its bytes and its time.

uvicorn with httptools collects header bytes without a limit and waits for them for ever. Here

1. a head of more than ``max_head_bytes`` is answered 431 and the connection closed;
2. a head that is not complete after ``head_seconds`` is answered 408 and the connection closed;
3. the request learns at once that its connection is lost (``scope["strongroom.line"]``);
4. a scope holds only what ``http.Request`` reads, and ``Cycle`` (``scope["strongroom.cycle"]``)
   lets it take a body that is there and send a whole answer at once: what ASGI's messages cost for
   these two is a fifth of a small request.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from strongroom.gateway.client_certificates import certificate_of
from strongroom.gateway.http import Headers
from strongroom.gateway.line import Line


class Cycle(RequestResponseCycle):
    """One request and its answer; see ``http.Whole``."""

    def body_if_whole(self) -> bytes | None:
        """See ``http.Whole``."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body, self.body = bytes(self.body), bytearray()
        return body

    def respond(self, status: int, headers: Headers, body: bytes) -> bool:
        """See ``http.Whole``."""
        if self.response_started or self.disconnected or self.flow.write_paused:
            return False
        lines = [b"%b: %b\r\n" % header for header in (*self.default_headers, *headers)]
        closes = (b"connection", b"close") in headers
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header holds a line break")
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.response_started = self.response_complete = True
        self.message_event.set()
        if closes or not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


class BoundedHttpProtocol(HttpToolsProtocol):
    """Made into a class with its bounds by ``bounded_protocol``."""

    max_head_bytes = 32 * 1024
    head_seconds = 10.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = False
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._line = Line()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first head; note who TLS says is there."""
        super().connection_made(transport)
        self._line.certificate = certificate_of(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock; tell the request under way."""
        self._disarm()
        super().connection_lost(exc)
        self._line.cut()

    def data_received(self, data: bytes) -> None:
        """Count reads that lie wholly inside a head; the read it began in may hold other things."""
        continued = self._in_head
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if self._timer is None:  # a head that came whole needs no clock
            self._arm()
        if continued:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._reject(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """A head begins; on a fresh connection its clock runs already."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head is whole: judge its size once more, as it may have come in one read; begin."""
        self._disarm()
        self._in_head = False
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if size > self.max_head_bytes:
            self._reject(b"431 Request Header Fields Too Large")
            return
        before, parser = self.cycle, self.parser
        scope: Any = {
            "type": "http",
            "method": parser.get_method().decode("ascii"),
            "path": _path(self.url),
            "query_string": httptools.parse_url(self.url).query or b"" if b"?" in self.url else b"",
            "headers": self.headers,
            "strongroom.line": self._line,
        }
        cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=parser.get_http_version() != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["strongroom.cycle"] = self.cycle = cycle
        app = cast(Any, service_unavailable if self._crowded() else self.app)
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:  # pipelined: one after another
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def on_body(self, body: bytes) -> None:
        """Drop what follows a rejected head."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Drop what follows a rejected head."""
        if not self.transport.is_closing():
            super().on_message_complete()

    def _crowded(self) -> bool:
        most = self.limit_concurrency
        return most is not None and max(len(self.connections), len(self.tasks)) >= most

    def _arm(self) -> None:
        self._timer = self.loop.call_later(self.head_seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self._reject(b"408 Request Timeout")

    def _reject(self, status: bytes) -> None:
        self._disarm()
        head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head)
        self.transport.close()


def bounded_protocol(max_head_bytes: int, head_seconds: float) -> type[BoundedHttpProtocol]:
    """The protocol class with these bounds, for ``uvicorn.Config(http=...)``."""
    bounds = {"max_head_bytes": max_head_bytes, "head_seconds": head_seconds}
    return type("ConfiguredHttpProtocol", (BoundedHttpProtocol,), bounds)


@lru_cache(maxsize=256)
def _path(url: bytes) -> str:
    return unquote(httptools.parse_url(url).path.decode("ascii"))
