"""The record: durable appends a second, and what verifying and reading it at a start costs.

``python benchmarks/record.py [--entries N] [--folder DIR]``; DIR should lie on the disk that the
home will lie on, because each group of appends waits for its fsync.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from strongroom.ledger.entries import RequestFinal, RequestIntent
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look, open_log
from strongroom.ledger.writer import LogWriter

CONCURRENT = (1, 16, 64, 256, 1024)


def intent(number: int) -> RequestIntent:
    cost = {"requests": 1, "input_tokens": 210, "output_tokens": 256, "compute_ms": 900}
    return RequestIntent(
        f"r-{number}", "Acme", "k1", "chat/completions", "small", cost, *("a" * 64,) * 3
    )


async def append(log: LogWriter, count: int, concurrent: int) -> dict[str, float]:
    numbers, waits = iter(range(count)), []

    async def client() -> None:
        for number in numbers:
            start = time.perf_counter()
            await log.append(intent(number))
            waits.append(time.perf_counter() - start)

    start, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(concurrent)))
    took = time.perf_counter() - start
    return {
        "concurrent": concurrent,
        "appends_per_second": round(count / took),
        "processor_us": round((time.process_time() - processor) / count * 1e6, 1),
        "median_ms": round(statistics.median(waits) * 1e3, 3),
        "p99_ms": round(sorted(waits)[int(count * 0.99)] * 1e3, 3),
    }


def measure(home: Path, entries: int) -> None:
    key = LogKey.create(home / "log.key")
    size = 0
    for concurrent in CONCURRENT:
        count = max(1000, entries * concurrent // sum(CONCURRENT))
        with open_log(home, "gateway", key) as log:
            print(json.dumps(asyncio.run(append(log, count, concurrent))))
        size += count
    start = time.perf_counter()
    _, found = look(home, "gateway", key.public)
    verified = time.perf_counter() - start
    with open_log(home, "gateway", key) as log:
        start = time.perf_counter()
        read = sum(isinstance(r.entry, RequestIntent | RequestFinal) for r in log.records())
        took = time.perf_counter() - start
    folder = home / "log" / "gateway"
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(
        json.dumps(
            {
                "size": found.newest.size,
                "verified_per_second": round(size / verified),
                "read_per_second": round(read / took),
                "bytes_each": round(stored / size),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--folder", default=".")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        measure(Path(name), options.entries)
