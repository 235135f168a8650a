"""The KBS protocol as an ASGI application. Verification takes a thread, so nobody waits for it.

A body has ``BODY_SECONDS`` to arrive; the time for heads is the server's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from strongroom.release.kbs.http import Answer, Asked, handle, refused
from strongroom.release.kbs.messages import MAX_BYTES
from strongroom.release.kbs.reasons import refuse
from strongroom.release.kbs.service import KbsService

BODY_SECONDS = 10.0

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class KbsApp:
    """Serves one ``KbsService``; TLS, if wanted, is the server's."""

    def __init__(self, service: KbsService) -> None:
        self._service = service

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """One request; anything but HTTP is left alone."""
        if scope["type"] != "http":
            return
        named: dict[bytes, list[str]] = {b"cookie": [], b"authorization": []}
        for name, value in scope["headers"]:
            if name in named:
                named[name].append(value.decode("latin-1"))
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            await _tell(send, refused(refuse("release.kbs_slow")))
            return
        asked = Asked(
            method=scope["method"],
            path=scope["path"],
            body=body,
            cookies=tuple(named[b"cookie"]),
            authorizations=tuple(named[b"authorization"]),
        )
        await _tell(send, await asyncio.to_thread(handle, self._service, asked))


async def _body(receive: _Receive) -> bytes:
    """The body, read to one byte past the largest that is taken."""
    gathered = bytearray()
    while len(gathered) <= MAX_BYTES:
        message = await receive()
        gathered += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(gathered[: MAX_BYTES + 1])


async def _tell(send: _Send, answer: Answer) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    if answer.set_cookie:
        headers.append((b"set-cookie", answer.set_cookie.encode("latin-1")))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
