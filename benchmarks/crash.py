"""Kill the gateway under load, again and again: no reply may be missing from the record.

1. Start a gateway and a mock keeper; load it from many connections, keeping the id of every answer
   whose last byte arrived.
2. After a random time, ``kill -9`` the gateway.
3. Verify the log against its checkpoints; every id kept must have an intent and a final record
   ``answered`` in it, and no request two of either.
4. Start again over the same folder: what was left under way must get a final record ``lost``.
   Repeat.

``python -m benchmarks.crash [--kills 20] [--replies 50000]``: at least so many of both.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop

from benchmarks.door import MODEL, Door
from benchmarks.http_load import chat_request, drive
from strongroom.ledger.entries import RequestFinal, RequestIntent
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records

CONNECTIONS = 64


class Books:
    """What the log says of requests."""

    def __init__(self, door: Door) -> None:
        folder, verified = look(door.folder / "state", "gateway", door.log_key.public)
        self.intents: Counter[str] = Counter()
        self.finals: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.lost: set[str] = set()
        self.size = verified.newest.size
        for recorded in records(folder, verified.published.size, verified.unpublished):
            entry = recorded.entry
            if isinstance(entry, RequestIntent):
                self.intents[entry.request] += 1
            elif isinstance(entry, RequestFinal):
                self.finals[entry.request] += 1
                (self.answered if entry.outcome == "answered" else self.lost).add(entry.request)

    def check(self, replies: set[str]) -> None:
        """Raise unless every reply has its record, and each record stands once."""
        missing = replies - self.answered
        twice = [name for found in (self.intents, self.finals) for name in found if found[name] > 1]
        stray = self.finals.keys() - self.intents.keys()
        if missing or twice or stray:
            raise SystemExit(f"missing {len(missing)}, twice {len(twice)}, stray {len(stray)}")


def one_life(door: Door, seconds: float) -> list[str]:
    """Steps 1 and 2; the ids of all answers that arrived whole."""
    door.start()
    request = chat_request(door.key, MODEL, max_tokens=4)
    until = time.monotonic() + seconds

    def on() -> bool:
        if time.monotonic() < until:
            return True
        door.process.kill()
        return False

    load = uvloop.run(drive(door.port, request, CONNECTIONS, on, keep=True))
    door.process.kill()
    door.process.wait()
    door.keeper.wait(10)
    if load.errors:
        raise SystemExit(f"{load.errors} requests were refused")
    return load.ids


def run(folder: Path, kills: int, least: int, seconds: float) -> dict[str, int]:
    """The whole experiment; what was found."""
    door = Door(folder)
    replies: set[str] = set()
    done, left = 0, set[str]()
    while done < kills or len(replies) < least:
        replies.update(one_life(door, seconds * random.uniform(0.5, 1.5)))
        done += 1
        books = Books(door)
        books.check(replies)
        if not left <= books.lost:
            raise SystemExit("a request that was left under way has no final record")
        left = set(books.intents.keys() - books.finals.keys())
        print(
            json.dumps(
                {"kill": done, "replies": len(replies), "log": books.size, "left": len(left)}
            ),
            flush=True,
        )
    return {"kills": done, "replies": len(replies), "log": books.size, "lost": len(books.lost)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--replies", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="mean life of a gateway")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(Path(folder), given.kills, given.replies, given.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
