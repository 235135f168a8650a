"""uvicorn's HTTP protocol with bounds on the head of a request: its bytes and its time.

uvicorn with httptools collects header bytes without a limit and waits for them for ever. Here

1. a head of more than ``max_head_bytes`` is answered 431 and the connection closed;
2. a head that is not complete after ``head_seconds`` is answered 408 and the connection closed;
3. the request learns at once that its connection is lost (``scope["strongroom.line"]``).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from strongroom.gateway.client_certificates import certificate_of
from strongroom.gateway.line import Line


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
        if continued and self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._reject(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """A head begins; on a fresh connection its clock runs already."""
        super().on_message_begin()
        self.scope["strongroom.line"] = self._line  # type: ignore[typeddict-unknown-key]
        self._in_head = True
        self._head_bytes = 0
        if self._timer is None:
            self._arm()

    def on_headers_complete(self) -> None:
        """The head is whole: judge its size once more, as it may have come in one read."""
        self._disarm()
        self._in_head = False
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.max_head_bytes:
            self._reject(b"431 Request Header Fields Too Large")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Drop what follows a rejected head."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Drop what follows a rejected head."""
        if not self.transport.is_closing():
            super().on_message_complete()

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
