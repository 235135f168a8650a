"""The operators' listener of a gateway: raw ASGI, read only, for loopback or a private network.

``/metrics`` for Prometheus, ``/status`` for the console, ``/healthz`` and ``/readyz`` for whoever
restarts and routes. It takes no body, no query and no method but GET and HEAD, so there is nothing
to authenticate for: who can reach it can read what docs/operations.md lists, and do nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from strongroom.host_header import acceptable
from strongroom.telemetry.exposition import registry
from strongroom.telemetry.observer import Observer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; charset=utf-8"


class OperatorApp:
    """Shows what ``observer`` counts.

    Args:
        observer: the process's.
        names: host names that it answers to, besides addresses and localhost.
    """

    def __init__(self, observer: Observer, names: Collection[str] = ()) -> None:
        self._observer = observer
        self._names = names
        self._registry: CollectorRegistry = registry(observer)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if not acceptable(host.decode("latin-1"), self._names):
            status, kind, body = 421, _TEXT, b"Ask by address, or by a name that is configured.\n"
        elif scope["method"] not in ("GET", "HEAD"):
            status, kind, body = 405, _TEXT, b"Only GET and HEAD.\n"
        else:
            status, kind, body = self._answer(scope["path"], scope["headers"])
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    def _answer(
        self, path: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[int, bytes, bytes]:
        match path:
            case "/metrics":
                return self._metrics(headers)
            case "/status":
                return 200, _JSON, json.dumps(status(self._observer)).encode()
            case "/healthz":
                return 200, _JSON, b'{"live":true}'
            case "/readyz":
                ready = self._observer.keeper_up
                return (200 if ready else 503), _JSON, json.dumps({"ready": ready}).encode()
        return 404, _TEXT, b"There is /metrics, /status, /healthz and /readyz.\n"

    def _metrics(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, bytes, bytes]:
        from prometheus_client.exposition import choose_encoder

        accepted = b",".join(value for name, value in headers if name == b"accept")
        encode, kind = choose_encoder(accepted.decode("latin-1"))
        return 200, kind.encode(), encode(self._registry)


def status(observer: Observer) -> dict[str, Any]:
    """What the console shows of a running gateway, as JSON values.

    ``model`` and ``load`` are ``null`` until the keeper has spoken. ``since`` is in seconds since
    1970; the counts are since then.
    """
    numbers = observer.numbers
    return {
        "since": observer.since,
        "keeper_up": observer.keeper_up,
        "model": None if observer.facts is None else asdict(observer.facts),
        "load": None if observer.load is None else asdict(observer.load),
        "in_flight": numbers.started.total() - numbers.ended.total(),
        "finished": numbers.finished.total(),
        "refused": numbers.refused.total(),
        "log_entries": numbers.log_entries,
    }
