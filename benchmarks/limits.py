"""Do limits hold when several gateways spend one budget at once, and how much of it is usable?

    python benchmarks/limits.py [--runs 20] [--replicas 4] [--in-flight 16] [--json]

Each run starts so many processes with so many requests under way each, against one Redis server
that the bench starts for itself. They spend one organisation's budget until nothing is left of it:
once a budget of requests, once of output tokens, once of egress bits. Every request reserves its
worst case, settles twice on its way, costs less than was reserved, and all is counted by the
processes themselves, apart from the store.

Beside it, in every run, the way that others take: check what is spent, do the work, then add what
it cost. It shows that the bench sees overshoot where there is some.

The in-process counters serve one gateway by definition; their line has one process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from strongroom.store.counters.interface import Counters
from strongroom.store.counters.memory import MemoryCounters
from strongroom.store.counters.redis import RedisCounters
from strongroom.store.limits import RESOURCES, Amounts, Cost, Granted, Limits, Subject

WORST = Cost(
    requests=1, input_tokens=64, output_tokens=256, compute_ms=500, egress_millibits=4096000
)
BUDGETS = {
    "requests": Amounts(requests=2_000),
    "tokens": Amounts(output_tokens=256 * 400),
    "bits": Amounts(egress_millibits=4096000 * 400),
}
RESOURCE_OF = {"requests": 0, "tokens": 2, "bits": 4}
PATIENCE_SECONDS = 0.25


@dataclass
class Outcome:
    """One run: in units of the resource. ``over`` is what was spent above the budget."""

    kind: str
    budget: str
    limit: int
    spent: int
    over: int
    used: float
    reservations: int
    seconds: float


async def spend(counters: Counters, limits: Limits, in_flight: int, seed: int) -> tuple[Cost, int]:
    """Be a gateway until the budget has had no room for a while; what was spent, and how often."""
    subjects = [Subject("organisation", "acme", limits), Subject("key", f"k{seed}")]
    total, asked = [0] * len(RESOURCES), 0
    chance = random.Random(seed)

    async def one(number: int) -> None:
        nonlocal asked
        last_granted = time.monotonic()
        turn = 0
        while time.monotonic() - last_granted < PATIENCE_SECONDS:
            turn, asked = turn + 1, asked + 1
            name = f"{seed}-{number}-{turn}"
            if not isinstance(await counters.reserve(name, subjects, WORST), Granted):
                await asyncio.sleep(0.005)
                continue
            share = chance.uniform(0.2, 1.0)
            actual = Cost(1, *(int(share * amount) for amount in WORST[1:]))
            for part in (0.3, 0.6):
                await asyncio.sleep(chance.uniform(0, 0.002))
                so_far = Cost(1, *(int(part * amount) for amount in actual[1:]))
                await counters.settle(name, so_far, final=False)
            await counters.settle(name, actual, final=True)
            for resource, amount in enumerate(actual):
                total[resource] += amount
            last_granted = time.monotonic()

    await asyncio.gather(*(one(number) for number in range(in_flight)))
    return Cost(*total), asked


class CheckThenAdd(RedisCounters):
    """The control: ask what is spent, and add the cost when it is known."""

    async def reserve(self, request_id: str, subjects: Any, worst: Cost) -> Any:
        for subject in subjects:
            spent = await self._redis.hgetall(f"{subject.id}")
            for name in RESOURCES:
                limit = getattr(subject.limits.total, name)
                if limit is not None and int(spent.get(name.encode(), 0)) >= limit:
                    return None
        return Granted()

    async def settle(self, request_id: str, actual: Cost, *, final: bool) -> bool:
        if final:
            for name, amount in zip(RESOURCES, actual, strict=True):
                await self._redis.hincrby("acme", name, amount)
        return True


def replica(url: str, prefix: str, kind: str, limits: Limits, in_flight: int, seed: int) -> Any:
    """One process; called in a child."""

    async def run() -> tuple[Cost, int]:
        if kind == "memory":
            return await spend(MemoryCounters(), limits, in_flight, seed)
        made = (CheckThenAdd if kind == "check, then add" else RedisCounters)(url, prefix)
        await made.begin()
        try:
            return await spend(made, limits, in_flight, seed)
        finally:
            await made.close()

    return asyncio.run(run())


def measure(url: str, kind: str, budget: str, replicas: int, in_flight: int, run: int) -> Outcome:
    """All processes of one run."""
    limits = Limits(total=BUDGETS[budget])
    prefix = f"{{{uuid.uuid4().hex}}}:"
    if kind == "check, then add":
        subprocess.run(["redis-cli", "-u", url, "del", "acme"], check=True, capture_output=True)
    replicas = 1 if kind == "memory" else replicas
    jobs = [(url, prefix, kind, limits, in_flight, 1000 * run + n) for n in range(replicas)]
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(replicas) as pool:
        found = pool.starmap(replica, jobs)
    resource = RESOURCE_OF[budget]
    limit = getattr(BUDGETS[budget], RESOURCES[resource])
    spent = sum(cost[resource] for cost, _ in found)
    return Outcome(
        kind,
        budget,
        limit,
        spent,
        max(0, spent - limit),
        min(spent, limit) / limit,
        sum(asked for _, asked in found),
        time.monotonic() - start,
    )


@contextmanager
def redis_server() -> Iterator[str]:
    """A server of our own on a free port, without a file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        words = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
        server = subprocess.Popen([*words, "--dir", folder], stdout=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if shutil.which("redis-server") is None:
        sys.stderr.write("redis-server is needed and not installed\n")
        return 2
    done: list[Outcome] = []
    with redis_server() as url:
        for run in range(asked.runs):
            for budget in BUDGETS:
                for kind in ("redis", "memory", "check, then add"):
                    args = (url, kind, budget, asked.replicas, asked.in_flight, run)
                    done.append(measure(*args))
    ours = [each for each in done if each.kind != "check, then add"]
    if asked.json:
        sys.stdout.write(json.dumps([asdict(each) for each in done]) + "\n")
    else:
        show(done, asked.runs)
    return int(any(each.over or each.used < 0.98 for each in ours))


def show(done: list[Outcome], runs: int) -> None:
    """A line for each way of counting and each budget: the worst of all runs."""
    sys.stdout.write(f"{runs} runs; the worst of them\n")
    line = "{:<16} {:<9} {:>14} {:>12} {:>10}\n"
    sys.stdout.write(line.format("counters", "budget", "limit", "overshoot", "usable"))
    for kind in dict.fromkeys(each.kind for each in done):
        for budget in BUDGETS:
            found = [each for each in done if (each.kind, each.budget) == (kind, budget)]
            over = max(each.over / each.limit for each in found)
            used = min(each.used for each in found)
            cells = (kind, budget, f"{found[0].limit:,}", f"{over:.2%}", f"{used:.2%}")
            sys.stdout.write(line.format(*cells))


if __name__ == "__main__":
    sys.exit(main())
