"""How many requests a second the door takes with all its steps and the record, on one core.

A real gateway process (its log on a real disk), a mock keeper behind it, a load generator before
it. Gateway on core 0, the others on core 1: what the gateway can do is shown by its own processor
time for each request, which does not depend on what the others do to the machine.

``python -m benchmarks.door [--connections 64] [--seconds 10] [--stream CHUNKS]``
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import msgspec
import uvloop

from benchmarks.http_load import chat_request, drive
from strongroom.gateway.api_keys import digest, make_key
from strongroom.gateway.config import GatewayConfig
from strongroom.gateway.pacing import Pacing
from strongroom.ledger.log_key import LogKey
from strongroom.store.interface import KeyRecord
from strongroom.store.limits import Amounts, Limits
from strongroom.store.sqlite import SqliteStore

MODEL = "mock"
ROOT = Path(__file__).resolve().parent.parent


class Door:
    """A gateway and a mock keeper in processes of their own, over one folder.

    ``start`` may be called again after the gateway has ended, however it ended.
    """

    def __init__(self, folder: Path, *, chunks: int = 1, tick: float = 0.0, pin: bool = False):
        from datetime import UTC, datetime

        self.folder, self._chunks, self._tick, self._pin = folder, chunks, tick, pin
        (folder / "state").mkdir(mode=0o700)
        pepper = os.urandom(32)
        (folder / "pepper").write_bytes(pepper)
        (folder / "pepper").chmod(0o600)
        self.log_key = LogKey.create(folder / "log.key")
        key_id, self.key = make_key()
        now = datetime.now(UTC)
        with SqliteStore(folder / "store.sqlite") as store:
            store.add_organisation("bench")
            store.set_organisation_limits(
                "bench", Limits(minute=Amounts(requests=10**8), day=Amounts(output_tokens=10**12))
            )
            store.add_key(KeyRecord(key_id, "bench", "", digest(pepper, self.key), now))

    def start(self) -> None:
        """Start both processes and wait until the gateway listens."""
        import socket

        ours, theirs = socket.socketpair()
        ready_read, ready_write = os.pipe()
        config_read, config_write = os.pipe()
        config = GatewayConfig(
            host="127.0.0.1",
            port=0,
            boundary_fd=ours.fileno(),
            ready_fd=ready_write,
            database=str(self.folder / "store.sqlite"),
            pepper=str(self.folder / "pepper"),
            log_key=str(self.folder / "log.key"),
            state=str(self.folder / "state"),
            model_name=MODEL,
            pacing=Pacing(tick_ms=0, pad_bytes=0),
        )
        os.write(config_write, msgspec.json.encode(config))
        os.close(config_write)
        mock = ["benchmarks.mock_keeper", "--fd", str(theirs.fileno())]
        mock += ["--chunks", str(self._chunks), "--tick", str(self._tick)]
        self.keeper = self._spawn(mock, (theirs.fileno(),), 1)
        self.process = self._spawn(
            ["strongroom.gateway", "--config-fd", str(config_read)],
            (ours.fileno(), ready_write, config_read),
            0,
        )
        for end in (ours, theirs):
            end.close()
        os.close(ready_write)
        os.close(config_read)
        with os.fdopen(ready_read) as ready:
            line = ready.readline()
        if not line:
            raise RuntimeError("the gateway did not start")
        self.port = int(json.loads(line)["url"].rpartition(":")[2])

    def processor_seconds(self) -> float:
        """What the gateway has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Door:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (self.process, self.keeper):
            process.terminate()
            process.wait(20)

    def _spawn(self, words: list[str], fds: tuple[int, ...], core: int) -> subprocess.Popen[bytes]:
        def pin() -> None:
            os.sched_setaffinity(0, {core})

        return subprocess.Popen(
            [sys.executable, "-m", *words],
            pass_fds=fds,
            cwd=ROOT,
            preexec_fn=pin if self._pin else None,
        )


def measure(door: Door, request: bytes, connections: int, seconds: float) -> dict[str, float]:
    """One run."""
    until = time.monotonic() + seconds
    used = door.processor_seconds()
    load = uvloop.run(drive(door.port, request, connections, lambda: time.monotonic() < until))
    used = door.processor_seconds() - used
    if load.errors or not load.replies:
        raise RuntimeError(f"{load.errors} errors, {load.replies} replies")
    return {
        "requests_per_second": round(load.replies / seconds),
        "microseconds_of_processor": round(used / load.replies * 1e6, 1),
        "requests_per_processor_second": round(load.replies / used),
        "median_ms": round(statistics.median(load.seconds) * 1e3, 3),
        "p99_ms": round(sorted(load.seconds)[int(len(load.seconds) * 0.99)] * 1e3, 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--stream", type=int, default=0, help="chunks of a stream; 0: no stream")
    given = parser.parse_args()
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as folder:
        door = Door(Path(folder), chunks=given.stream or 1, pin=True)
        tokens = max(1, given.stream)
        request = chat_request(door.key, MODEL, max_tokens=tokens, stream=bool(given.stream))
        with door:
            measure(door, request, 8, 1)
            for connections in given.connections:
                found = measure(door, request, connections, given.seconds)
                print(json.dumps({"connections": connections, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
