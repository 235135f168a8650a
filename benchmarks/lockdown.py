"""What the walls cost: the time to raise them, and what a keeper that serves loses to them.

Four workers live side by side: without walls, without walls again (so that the noise of the machine
is seen), and in each profile. Every round gives each the same work once, in rotated order, over a
socket as a gateway would. Two kinds of work:

* decode: one token's work of a small model (linear layers and attention, bf16, all shapes warmed);
* calls: one-byte reads and writes on a socket, the most that a filter of system calls can cost.

The ratio is a worker's time over that of the first in the same round: by the clock, and in
processor time, which other load on the machine disturbs less. Raising the walls is timed in fresh
processes, after torch's threads exist.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WORKERS = ("no walls", "no walls again", "no-exec", "jit")
LAYERS, HIDDEN, INNER, HEADS, CONTEXT = 6, 576, 1536, 9, 256
DECODES, CALLS = 20, 20_000


class Worker:
    """A process that does one piece of work for each line it is sent."""

    def __init__(self, label: str, threads: int) -> None:
        self.label = label
        self.seconds: dict[str, list[tuple[float, float]]] = {"decode": [], "calls": []}
        ours, theirs = socket.socketpair()
        self._child = subprocess.Popen(
            [sys.executable, __file__, "--worker", label, str(theirs.fileno()), str(threads)],
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._lines = ours.makefile("rwb")
        self.started: dict[str, Any] = json.loads(self._lines.readline())

    def work(self, kind: str) -> None:
        self._lines.write(f"{kind}\n".encode())
        self._lines.flush()
        clock, processor = self._lines.readline().split()
        self.seconds[kind].append((float(clock), float(processor)))

    def stop(self) -> None:
        self._lines.close()
        if self._child.wait(30) != 0:
            sys.exit(f"the worker '{self.label}' ended with {self._child.returncode}")


def serve(label: str, descriptor: int, threads: int) -> None:
    """A worker's life: warm up, lock down, say how long that took, work until the peer hangs up."""
    works = {"decode": make_decode(threads), "calls": make_calls()}
    for work in works.values():
        work()
    pair = PAIR.fileno(), PEER.fileno()
    walls, milliseconds = {}, 0.0
    if label in ("no-exec", "jit"):
        from strongroom.keeper import lockdown

        begin = time.perf_counter()
        walls = lockdown.lock(label, keep_fds=[descriptor, *pair, 2])
        milliseconds = 1000 * (time.perf_counter() - begin)
    tell(descriptor, json.dumps({"milliseconds": milliseconds, "walls": walls}))
    while kind := os.read(descriptor, 64).decode().strip():
        clock, processor = time.perf_counter(), time.process_time()
        works[kind]()
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        tell(descriptor, f"{clock!r} {processor!r}")
    os._exit(0)


def tell(descriptor: int, line: str) -> None:
    os.write(descriptor, line.encode() + b"\n")


PAIR, PEER = socket.socketpair()


def make_calls():
    one, other = PAIR.fileno(), PEER.fileno()

    def work() -> None:
        for _ in range(CALLS // 2):
            os.write(one, b"x")
            os.read(other, 1)

    return work


def make_decode(threads: int):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(7)

    def weight(out: int, into: int) -> torch.Tensor:
        return torch.randn(out, into).bfloat16()

    layers = [
        (
            weight(3 * HIDDEN, HIDDEN),
            weight(HIDDEN, HIDDEN),
            weight(INNER, HIDDEN),
            weight(HIDDEN, INNER),
        )
        for _ in range(LAYERS)
    ]
    cache = torch.randn(1, HEADS, CONTEXT, HIDDEN // HEADS).bfloat16()

    @torch.inference_mode()
    def work() -> None:
        for _ in range(DECODES):
            state = torch.ones(1, HIDDEN).bfloat16()
            for mixed, out, up, down in layers:
                query, _, _ = F.linear(state, mixed).chunk(3, dim=-1)
                query = query.view(1, HEADS, 1, HIDDEN // HEADS)
                seen = F.scaled_dot_product_attention(query, cache, cache).reshape(1, HIDDEN)
                state = F.rms_norm(state + F.linear(seen, out), (HIDDEN,))
                state = F.rms_norm(state + F.linear(F.silu(F.linear(state, up)), down), (HIDDEN,))

    return work


def raising(profile: str, threads: int, starts: int) -> list[float]:
    """Milliseconds that ``lock`` took in each of ``starts`` fresh processes."""
    taken = []
    for _ in range(starts):
        worker = Worker(profile, threads)
        taken.append(worker.started["milliseconds"])
        worker.stop()
    return taken


def main() -> None:
    options = parse()
    if options.worker:
        label, descriptor, threads = options.worker
        serve(label, int(descriptor), int(threads))
    workers = [Worker(label, options.threads) for label in WORKERS]
    for turn in range(options.runs + 1):
        shift = turn % len(workers)
        for kind in ("decode", "calls"):
            for worker in workers[shift:] + workers[:shift]:
                worker.work(kind)
    for worker in workers:
        worker.stop()
        for seen in worker.seconds.values():
            del seen[0]  # the first round warms the machine
    started = {p: raising(p, options.threads, options.starts) for p in ("no-exec", "jit")}
    report(workers, started, options)


def parse() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description="what the walls cost")
    arguments.add_argument("--runs", type=int, default=40)
    arguments.add_argument("--starts", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    return arguments.parse_args()


def ratios(ours: list, theirs: list, place: int) -> list[float]:
    """Quartiles of the ratio, a round each: the median is the second."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.quantiles([mine[place] / base[place] for mine, base in pairs], n=4)


def report(workers: list[Worker], started: dict[str, list[float]], options) -> None:
    rows = []
    print(f"{options.runs} interleaved rounds, {options.threads} threads, {os.cpu_count()} cores")
    for kind, unit, divisor in (("decode", "ms a token", DECODES), ("calls", "µs a call", CALLS)):
        scale = (1e3 if kind == "decode" else 1e6) / divisor
        print(f"\n{kind:16} {unit:>10} {'ratio by clock':>24} {'ratio by processor':>24}")
        for worker in workers:
            middle = statistics.median(clock for clock, _ in worker.seconds[kind]) * scale
            row = {"work": kind, "worker": worker.label, "unit": unit, "median": middle}
            print(f"{worker.label:16} {middle:10.3f}", end="")
            for place, name in enumerate(("clock", "processor")):
                row[name] = ratios(worker.seconds[kind], workers[0].seconds[kind], place)
                low, middle, high = row[name]
                print(f"    {middle:6.3f} ({low:.3f}–{high:.3f})", end="")
            rows.append(row)
            print()
    print(f"\n{'lock()':16} {'median':>9}         ms   in {options.starts} fresh processes")
    for profile, taken in started.items():
        print(f"{profile:16} {statistics.median(taken):9.2f}         ms", end="")
        print(f"   ({min(taken):.2f}–{max(taken):.2f})")
    for worker in workers:
        off = {name: why for name, why in worker.started["walls"].items() if why != "on"}
        if off:
            print(f"\n{worker.label}: not standing: {off}")
    if options.json:
        about = {"machine": platform.processor(), "threads": options.threads}
        options.json.write_text(json.dumps(about | {"rows": rows, "lock_ms": started}, indent=1))


if __name__ == "__main__":
    main()
