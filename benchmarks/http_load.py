"""A load generator for one small POST, as fast as Python can be: raw sockets, no HTTP library.

Keep-alive connections, each with one request in flight. Answers need a ``content-length`` or the
end mark of a stream. ``on_reply`` gets the id of each answer that arrived whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

END_OF_STREAM = b"data: [DONE]\n\n"


@dataclass
class Load:
    """What came back. ``seconds`` holds the latency of each reply."""

    replies: int = 0
    errors: int = 0
    seconds: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """Sends ``request`` again and again until ``until``."""

    def __init__(self, request: bytes, until: Callable[[], bool], load: Load, keep: bool) -> None:
        self._request, self._until, self._load, self._keep = request, until, load, keep
        self._buffer = b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length: ")
        if at >= 0:
            length = int(head[at + 16 : (head.find(b"\r", at) + 1 or len(head) + 1) - 1])
            if len(self._buffer) < head_end + 4 + length:
                return
        elif END_OF_STREAM not in self._buffer[head_end:]:
            return
        self._reply(head)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def _reply(self, head: bytes) -> None:
        load = self._load
        load.seconds.append(time.perf_counter() - self._sent)
        if head.startswith(b"http/1.1 200"):
            load.replies += 1
            if self._keep:
                at = head.find(b"x-request-id: ") + 14
                load.ids.append(head[at : (head.find(b"\r", at) + 1 or len(head) + 1) - 1].decode())
        else:
            load.errors += 1
        self._buffer = b""
        if self._until():
            self._send()
        else:
            self._transport.close()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def drive(
    port: int, request: bytes, connections: int, until: Callable[[], bool], *, keep: bool = False
) -> Load:
    """Load ``127.0.0.1:port`` from ``connections`` connections while ``until`` says so."""
    load, loop = Load(), asyncio.get_running_loop()
    made = []
    for _ in range(connections):
        try:
            made.append(
                await loop.create_connection(
                    lambda: Connection(request, until, load, keep), "127.0.0.1", port
                )
            )
        except OSError:
            break
    await asyncio.gather(*(connection.over for _, connection in made))
    return load


def chat_request(key: str, model: str, **fields: object) -> bytes:
    """One chat request as bytes."""
    import json

    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "Say a word."}], **fields}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
