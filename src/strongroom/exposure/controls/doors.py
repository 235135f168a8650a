"""Doors that leak on purpose through their clock, over HTTP, and one that does not.

They speak as much of the OpenAI protocol as a caller's clock needs. A request is worked on for a
time that follows from the door's kind alone:

- ``shared prefixes``: short where anybody has asked the same prompt before: the leak of a prefix
  cache that tenants share;
- ``shared turns``: one request at a time, so that whoever is served makes others wait;
- ``neither``: the same time for all, however many ask.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Kind = Literal["shared prefixes", "shared turns", "neither"]

WORK_SECONDS = 0.006


@contextmanager
def door(kind: Kind) -> Iterator[str]:
    """The address of such a door on this machine while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kind))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(kind: Kind) -> type[BaseHTTPRequestHandler]:
    seen: set[str] = set()
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """Answers completions after some work."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """Work, and answer one word."""
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            prompt = _prompt(asked)
            with turn if kind == "shared turns" else nullcontext():
                known = kind == "shared prefixes" and prompt in seen
                time.sleep(0 if known else WORK_SECONDS)
                seen.add(prompt)
            raw = json.dumps({"choices": [{"text": "x"}], "usage": {"completion_tokens": 1}})
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


def _prompt(asked: dict[str, Any]) -> str:
    if "messages" in asked:
        return str(asked["messages"][-1]["content"])
    return str(asked.get("prompt", ""))
