"""``kill -9`` at any moment: the log verifies afterwards, and no acknowledged entry is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strongroom.ledger.opening import look
from tests.ledger.logs import World

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 12


@pytest.mark.slow
@pytest.mark.parametrize("publish_seconds", ["0", "0.05"])
def test_kill_at_random_moments(world: World, publish_seconds: str) -> None:
    acknowledged: dict[int, str] = {}
    moments = random.Random(publish_seconds)
    for _ in range(ROUNDS):
        out = kill_after(world, publish_seconds, moments.uniform(0.0, 0.25))
        for line in out.decode().split("\n")[:-1]:  # the last one may be cut
            index, request = line.split()
            assert acknowledged.setdefault(int(index), request) == request
        _, found = look(world.state, world.name, world.key.public)
        assert found.newest.size > max(acknowledged, default=-1)
    assert len(acknowledged) > 100
    with world.open() as log:
        there = {recorded.index: recorded.entry for recorded in log.records()}
    for index, request in acknowledged.items():
        assert getattr(there[index], "request", None) == request


def kill_after(world: World, publish_seconds: str, seconds: float) -> bytes:
    """Start the writer, wait for its first acknowledgement and some time more, kill it."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.crash_writer", world.path, publish_seconds],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout
    first = writer.stdout.readline()
    assert first, "the writer did not start"
    time.sleep(seconds)
    writer.kill()
    rest = writer.stdout.read()
    writer.wait()
    return first + rest
