"""A caller in a process of its own, who asks the same thing over and over while told to.

In the attacker's own process it would slow the attacker's clock, and the measurement would find
that. Lines on standard input: first a JSON object (``url``, ``key``, ``path``, ``body``), then
``on`` and ``off``; each is answered with a line, ``on`` once a request is under way and ``off``
once none is. The end of the input ends it.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

_PATIENCE = 300.0


class BusyCaller:
    """Such a process, from the side of who starts it. A context is a time in which it asks."""

    def __init__(self, url: str, key: str, path: str, body: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        told = {"url": url, "key": key, "path": path, "body": dict(body)}
        self._say(json.dumps(told))

    def __enter__(self) -> None:
        self._say("on")

    def __exit__(self, *_: object) -> None:
        self._say("off")

    def end(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            self._process.stdout.readline()


def main() -> None:
    """Be such a process."""
    told = json.loads(sys.stdin.readline())
    body = json.dumps(told["body"]).encode()
    wanted, idle = threading.Event(), threading.Event()
    idle.set()
    worker = threading.Thread(target=_work, args=(told, body, wanted, idle), daemon=True)
    worker.start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "on":
            idle.clear()
            wanted.set()
        else:
            wanted.clear()
            idle.wait(_PATIENCE)
        print(line.strip(), flush=True)


def _work(
    told: Mapping[str, str], body: bytes, wanted: threading.Event, idle: threading.Event
) -> None:
    address = urlsplit(told["url"])
    headers = {"content-type": "application/json", "authorization": f"Bearer {told['key']}"}
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    while wanted.wait():
        connection = kind(address.hostname or "", address.port, timeout=_PATIENCE)
        with suppress(OSError, http.client.HTTPException):
            while wanted.is_set():
                connection.request("POST", address.path.rstrip("/") + told["path"], body, headers)
                connection.getresponse().read()
        connection.close()
        if not wanted.is_set():
            idle.set()


if __name__ == "__main__":
    main()
