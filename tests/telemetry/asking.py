"""Asks an ASGI application without a server."""

from __future__ import annotations

import asyncio
from typing import Any


def ask(
    app: Any,
    path: str,
    method: str = "GET",
    headers: list[tuple[bytes, bytes]] | None = None,
    body: bytes = b"",
    query: bytes = b"",
    client: str = "127.0.0.1",
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one exchange. Headers that come twice are joined by a newline."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    given = list(headers or [])
    if all(name != b"host" for name, _ in given):
        given.append((b"host", b"127.0.0.1"))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": given,
        "client": (client, 50000),
        "scheme": "http",
    }
    asyncio.run(app(scope, receive, send))
    found: dict[str, str] = {}
    for raw, value in sent[0]["headers"]:
        name, text = raw.decode(), value.decode()
        found[name] = f"{found[name]}\n{text}" if name in found else text
    return sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:])
