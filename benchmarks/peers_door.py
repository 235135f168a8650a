"""The door against its peers in one interleaved run: throughput, added latency, streams.

``python -m benchmarks.peers_door [--rounds 7] [--folder DIR] [--only NAME ...]``

Each contender has the same core to itself while it is measured; the load (Debian's ``wrk``) and
what stands behind the contenders share the other. Behind the HTTP peers stands one mock
(``peer_gateways``); behind strongroom its own mock keeper, which is in Python and slower. The
record of strongroom lies in DIR, on its disk, and the two entries of each request are durable.

1. ``requests``: a second, 64 connections, whole answers of one token.
2. ``added``: median microseconds with one connection, less those of the mock itself in that round.
3. ``streams``: a second, 16 connections, 64 chunks each, which the mocks send all at once.
   Bare uvicorn, the floor, sends no stream: its figure there is that of its one answer.
4. ``cpu``: processor microseconds of the contender for each of the requests in 1.

Ratios are ours to theirs in the same round: the median of them, the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.door import MODEL, Door
from benchmarks.peer_gateways import (
    CHUNKS,
    LOAD_CORE,
    Bare,
    Envoy,
    LiteLLM,
    Mock,
    Nginx,
    Peer,
    free_port,
)

OURS = "strongroom, with its record"
MOCK = Mock.name
LONGEST = 30
Round = dict[str, dict[str, float]]
UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}


@dataclass(frozen=True)
class Target:
    """Where the load goes, and which process's time is counted."""

    name: str
    port: int
    key: str
    path: str
    stream_path: str
    stream_model: str
    pid: int


def load(target: Target, folder: Path, connections: int, seconds: int, *, stream: bool) -> Seen:
    """One run of wrk."""
    body = {
        "model": target.stream_model if stream else MODEL,
        "messages": [{"role": "user", "content": "Say a word."}],
        "max_tokens": CHUNKS if stream else 1,
        **({"stream": True} if stream else {}),
    }
    script = folder / "request.lua"
    script.write_text(
        'wrk.method = "POST"\n'
        f"wrk.body = {json.dumps(json.dumps(body))}\n"
        'wrk.headers["content-type"] = "application/json"\n'
        f'wrk.headers["authorization"] = "Bearer {target.key}"\n'
    )
    path = target.stream_path if stream else target.path
    before = _processor_seconds(target.pid)
    said = subprocess.run(
        [
            *("taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}"),
            *(f"-d{seconds}s", "--latency", "--timeout", "30s", "-s", str(script)),
            f"http://127.0.0.1:{target.port}{path}",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    used = _processor_seconds(target.pid) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{target.name}: {said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    count = re.search(r"(\d+) requests in", said)
    middle = re.search(r"50%\s+([\d.]+)(us|ms|s)", said)
    if rate is None or count is None or middle is None:
        raise RuntimeError(f"{target.name}: {said}")
    if not int(count[1]):  # too slow for so short a run
        if seconds > LONGEST:
            raise RuntimeError(f"{target.name} answers nothing: {said}")
        return load(target, folder, connections, 3 * seconds, stream=stream)
    return Seen(float(rate[1]), float(middle[1]) * UNITS[middle[2]], used / int(count[1]) * 1e6)


@dataclass(frozen=True)
class Seen:
    """Of one run: requests a second, median microseconds, processor microseconds a request."""

    rate: float
    median: float
    processor: float


def _processor_seconds(pid: int) -> float:
    """Of the process and its children (nginx works in one)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for each in [str(pid), *children]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def one_round(targets: list[Target], turn: int, folder: Path, seconds: int) -> Round:
    """Every contender once; rotated, so that nobody always follows the same neighbour."""
    shift, half = turn % len(targets), max(1, seconds // 2)
    found: Round = {}
    for target in targets[shift:] + targets[:shift]:
        load(target, folder, 8, 1, stream=False)
        full = load(target, folder, 64, seconds, stream=False)
        alone = load(target, folder, 1, half, stream=False)
        streams = load(target, folder, 16, half, stream=True)
        found[target.name] = {
            "requests": full.rate,
            "cpu": full.processor,
            "median": alone.median,
            "streams": streams.rate,
        }
    for seen in found.values():
        seen["added"] = seen["median"] - found[MOCK]["median"]
    return found


def tell(rounds: list[Round], names: list[str]) -> None:
    """Medians with their range, and our ratios to each."""
    print(f"{len(rounds)} interleaved rounds; median (least-greatest)")
    for name in names:
        cells = []
        for what in ("requests", "added", "streams", "cpu"):
            values = [each[name][what] for each in rounds]
            middle = statistics.median(values)
            cells.append(f"{what} {middle:,.0f} ({min(values):,.0f}-{max(values):,.0f})")
        print(f"  {name:38} " + "; ".join(cells))
    for name in names:
        if name in (OURS, MOCK):
            continue
        cells = []
        for what in ("requests", "added", "streams", "cpu"):
            ratios = [each[OURS][what] / each[name][what] for each in rounds if each[name][what]]
            middle = statistics.median(ratios)
            cells.append(f"{what} {middle:.3g} ({min(ratios):.3g}-{max(ratios):.3g})")
        print(f"  ours / {name:31} " + "; ".join(cells))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--folder", default=".", help="on the disk that the record will lie on")
    parser.add_argument("--only", nargs="*", default=["litellm", "envoy", "nginx", "bare"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the peers are ended
    if not shutil.which("wrk") or Mock.lacks():
        sys.exit(
            f"cannot measure: wrk is needed (apt install wrk); {Mock.lacks() or 'nginx is here'}"
        )
    kinds: dict[str, type[Peer]] = {
        "litellm": LiteLLM,
        "envoy": Envoy,
        "nginx": Nginx,
        "bare": Bare,
    }
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name).resolve()
        mock = Mock(folder / "mock", free_port())
        peers: list[Peer] = [mock]
        for kind in (kinds[each] for each in given.only):
            if kind.lacks():
                print(f"left out: {kind.lacks()}", file=sys.stderr)
            else:
                peers.append(kind(folder / kind.__name__, mock.mock_port))
        (folder / "door").mkdir()
        door = Door(folder / "door", chunks=CHUNKS, pin=True)
        started: list[Peer] = []
        try:
            for peer in peers:
                peer.start()
                started.append(peer)
            with door:
                measure(door, started, folder, given)
        finally:
            for peer in reversed(started):
                peer.stop()
    return 0


def measure(door: Door, peers: list[Peer], folder: Path, given: argparse.Namespace) -> None:
    """The rounds, and what they say."""
    path = "/v1/chat/completions"
    targets = [Target(OURS, door.port, door.key, path, path, MODEL, door.process.pid)]
    for peer in peers:
        model = "stream" if isinstance(peer, LiteLLM) else MODEL
        place = (peer.path, peer.stream_path, model, peer.process.pid)
        targets.append(Target(peer.name, peer.port, peer.key, *place))
    rounds = []
    for turn in range(given.rounds):
        rounds.append(one_round(targets, turn, folder, given.seconds))
        print(json.dumps(rounds[-1]), file=sys.stderr)
    tell(rounds, [target.name for target in targets])
    if given.json:
        given.json.write_text(json.dumps(rounds))


if __name__ == "__main__":
    sys.exit(main())
