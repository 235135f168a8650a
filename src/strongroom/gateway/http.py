"""Requests and responses over raw ASGI: bounded reading, JSON, server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import msgspec

from strongroom.gateway.line import ClientGone, Line
from strongroom.gateway.pacing import padded
from strongroom.gateway.refusals import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

_JSON: Final = "application/json"
JSON_TYPE: Final = (b"content-type", _JSON.encode())
PROBLEM_TYPE: Final = (b"content-type", b"application/problem+json")
_EVENTS_TYPE: Final = (b"content-type", b"text/event-stream; charset=utf-8")
_COMMON: Final = (
    (b"cache-control", b"no-store, no-transform"),
    (b"x-content-type-options", b"nosniff"),
)
_DRAINED_BODIES: Final = 16
_DRAIN_SECONDS: Final = 2.0
_CLOSE: Final = ((b"connection", b"close"),)

_encode = msgspec.json.Encoder().encode


class Whole(Protocol):
    """What a request can do at once, without ASGI's messages."""

    @property
    def response_started(self) -> bool:
        """Whether any of the answer was sent."""
        ...

    def body_if_whole(self) -> bytes | None:
        """The body, once, if all of it has come; else it is to be received."""
        ...

    def respond(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer, unless it must be sent by messages; whether it was."""
        ...


class Request:
    """One request. ``headers`` holds the first value of each name; names are lower case.

    ``line`` is its connection. ``told`` are headers that every answer to it carries, whatever
    becomes of the request. ``accounted``: it ends in the record by
    itself. ``events``: its answer is a stream that has begun.
    """

    __slots__ = (
        "_pad_bytes",
        "_whole",
        "accounted",
        "events",
        "headers",
        "line",
        "method",
        "path",
        "query",
        "receive",
        "send",
        "told",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        self.receive = receive
        self.send = send
        self.line: Line = scope["strongroom.line"]
        # Taken out: it holds the scope, and the two would be left to the collector of cycles, some
        # three kilobytes a request, so that each request would work in memory that is cold.
        self._whole: Whole = scope.pop("strongroom.cycle")
        self.accounted = False
        self.events = False
        self._pad_bytes = 0
        self.told: list[tuple[bytes, bytes]] = []
        self.headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            self.headers.setdefault(name, value)

    @property
    def started(self) -> bool:
        """Whether its response has begun."""
        return self._whole.response_started

    def header(self, name: bytes) -> str | None:
        """The value of a header as Latin-1 text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def body(self, limit: int, seconds: float, kind: str = _JSON) -> bytes:
        """The whole body, declared as ``kind``, judged while it arrives.

        Raises:
            Refusal: 413 ``gateway.body_too_large`` above ``limit`` bytes; 408
                ``gateway.body_too_slow`` after ``seconds``; 415 ``gateway.not_json``.
            ClientGone: the caller hung up.
        """
        try:
            self._judge_headers(limit, kind)
            body = self._whole.body_if_whole()
            if body is not None:
                if len(body) > limit:
                    raise _too_large(limit)
                return body
            async with asyncio.timeout(seconds):
                return await self._read(limit)
        except TimeoutError:
            raise _too_slow(seconds) from None
        except Refusal:
            await self._drain(limit)
            raise

    def _judge_headers(self, limit: int, kind: str) -> None:
        if int(self.headers.get(b"content-length", b"0")) > limit:
            raise _too_large(limit)
        declared = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        encoding = self.header(b"content-encoding") or "identity"
        if declared != kind or encoding.lower() != "identity":
            raise _not_json() if kind == _JSON else _not_declared(kind)

    async def _drain(self, limit: int) -> None:
        """Read on for a while without keeping anything: many clients write all before they read,
        and a connection that is closed with unread bytes loses the answer.
        """
        left = _DRAINED_BODIES * limit
        if b"expect" in self.headers:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while left > 0:
                    message = await self.receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    async def _read(self, limit: int) -> bytes:
        body = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            if len(body) > limit:
                raise _too_large(limit)
            if not message.get("more_body", False):
                return bytes(body)

    async def answer(self, value: Any, status: int = 200, pad_bytes: int = 0) -> None:
        """Send ``value`` as JSON, with white space behind it to a multiple of ``pad_bytes``."""
        body = _encode(value)
        missing = -len(body) % pad_bytes if pad_bytes else 0
        await self.answer_bytes(body + b" " * missing, status, (JSON_TYPE,))

    async def answer_bytes(self, body: bytes, status: int, headers: Headers) -> None:
        """Send a whole response."""
        length = (b"content-length", b"%d" % len(body))
        every = (*headers, length, *_COMMON, *self.told)
        if self.method == "HEAD":
            body = b""
        if self._whole.respond(status, every, body):
            return
        await self.send({"type": "http.response.start", "status": status, "headers": every})
        await self.send({"type": "http.response.body", "body": body})

    async def start_events(self, pad_bytes: int = 0) -> None:
        """Begin a stream of server-sent events, each write a multiple of ``pad_bytes``."""
        self.events = True
        self._pad_bytes = pad_bytes
        await self.send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [_EVENTS_TYPE, *_COMMON, *self.told],
            }
        )

    async def event(self, *values: Any) -> None:
        """Send events in one write."""
        body = padded(_events(values), self._pad_bytes)
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def end_events(self, *values: Any) -> None:
        """Send the last events with OpenAI's end mark in one write, and finish the stream."""
        body = padded(_events(values) + b"data: [DONE]\n\n", self._pad_bytes)
        await self.send({"type": "http.response.body", "body": body})


def _events(values: tuple[Any, ...]) -> bytes:
    return b"".join(b"data: " + _encode(value) + b"\n\n" for value in values)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        "gateway.body_too_large",
        f"The request body is larger than {limit} bytes.",
        action="Send less.",
        status=413,
        headers=_CLOSE,
    )


def _too_slow(seconds: float) -> Refusal:
    return Refusal(
        "gateway.body_too_slow",
        f"The request body did not arrive within {seconds:g} seconds.",
        action="Send it without pause.",
        status=408,
        headers=_CLOSE,
    )


def _not_declared(kind: str) -> Refusal:
    return Refusal(
        "gateway.wrong_kind",
        f"The request body is not declared as plain {kind}.",
        action=f"Send `Content-Type: {kind}` and no content encoding.",
        status=415,
        headers=_CLOSE,
    )


def _not_json() -> Refusal:
    return Refusal(
        "gateway.not_json",
        "The request body is not declared as plain JSON.",
        action="Send `Content-Type: application/json` and no content encoding.",
        status=415,
        headers=_CLOSE,
    )
