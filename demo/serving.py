"""Starts ``strongroom serve`` as a person would, finds its keeper, and ends it whatever happens."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from demo.privilege import as_ordinary_child
from demo.stage import Stage

START_SECONDS = 300
STOP_SECONDS = 20


class Serving:
    """One running server: release, keeper and gateway below one supervisor."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._log = stage.work / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.said: dict[str, Any] = {}

    def __enter__(self) -> Serving:
        """Start and wait until ready; ``said`` and the stage then tell how to reach it."""
        words = ("serve", self._stage.sealed, "--host", "127.0.0.1", "--port", "0", "--json")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._stage.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # so that Ctrl-C is ours to answer, and all can be ended
                preexec_fn=as_ordinary_child,
            )
        try:
            self.said = self._wait_until_ready(self._process)
            self._stage.url, self._stage.model_name = self.said["url"], self.said["model"]
            self._stage.keeper_pid = find_keeper(self._process.pid)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop()

    def wait(self) -> None:
        """Block until the server ends by itself."""
        if self._process is not None:
            self._process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        for line in _lines(process.stdout, time.monotonic() + START_SECONDS):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict) and "url" in said:
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return said
        raise RuntimeError(f"the server did not start: {self._log.read_text()[-2000:]}")

    def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        finally:
            _end_group(process.pid)
            process.wait()


def _lines(stream: IO[bytes], until: float) -> Iterator[bytes]:
    """Whole lines as they come, until the stream ends or the time has come."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while selector.select(max(0.0, until - time.monotonic())):
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            yield from lines


def _end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def find_keeper(supervisor: int) -> int:
    """The process below ``supervisor`` that runs the keeper.

    Raises:
        RuntimeError: there is none.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == supervisor and b"strongroom.keeper" in words:
            return int(entry.name)
    raise RuntimeError("the server runs no keeper")
