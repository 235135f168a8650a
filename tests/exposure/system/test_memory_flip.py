"""A bit flipped in a running process is found by who looks; the drill tells who does not."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from strongroom.cli.audit_memory import flip_bit
from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.system.memory_flip import MemoryFlip
from strongroom.exposure.interface import Budget, Facts, Knowledge, Knows
from strongroom.exposure.judge.interface import Verdict
from strongroom.exposure.judge.memory_flip import MemoryFlipJudge
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.system import Watched

NEVER = math.inf
TENSORS = {"w": torch.randn(64, 64, generator=torch.Generator().manual_seed(1))}
HOLDER = """
import mmap, sys
held = mmap.mmap(-1, 64 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
held[:16384] = sys.stdin.buffer.read(16384)
print("held", flush=True)
sys.stdin.buffer.read(1)
sys.stdout.buffer.write(held[:16384])
"""


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the weights, and gives them back when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(TENSORS["w"].numpy().tobytes())
        process.stdin.flush()
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def given_back(process: subprocess.Popen[bytes]) -> bytes:
    return process.communicate(b"x")[0]


def may_write(pid: int) -> bool:
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
    except OSError:
        return False
    return True


def test_exactly_one_bit_of_the_weights_is_flipped_from_outside(
    holder: subprocess.Popen[bytes],
) -> None:
    if not may_write(holder.pid):
        pytest.skip("no process of this user may write another's memory")
    flip_bit(holder.pid, TENSORS, random.Random(3))
    before, after = TENSORS["w"].numpy().tobytes(), given_back(holder)
    assert sum((a ^ b).bit_count() for a, b in zip(before, after, strict=True)) == 1


def test_weights_that_are_not_there_cannot_be_flipped(holder: subprocess.Popen[bytes]) -> None:
    if not may_write(holder.pid):
        pytest.skip("no process of this user may write another's memory")
    with pytest.raises(ExposureRefused) as caught:
        flip_bit(holder.pid, {"w": torch.full((64, 64), 7.25)}, random.Random(3))
    assert caught.value.code == "exposure.memory_closed"
    assert given_back(holder) == TENSORS["w"].numpy().tobytes()


def test_memory_that_may_not_be_written_is_a_result() -> None:
    with pytest.raises(ExposureRefused) as caught:
        flip_bit(2**22 + 1, TENSORS, random.Random(3))  # nobody's
    assert caught.value.code == "exposure.memory_closed"


def keeper(*, finds: bool, cries: bool = False, mends: bool = True, tells: bool = True) -> Any:
    """A keeper that finds flips, or ends without any, is started afresh, is recorded, or is not."""
    meter, faults = Meter(100), [0]

    def watch(flip: bool) -> Watched:
        meter.charge(1)
        if not (finds if flip else cries):
            return Watched(NEVER, NEVER)
        faults[0] += tells
        return Watched(0.6, 3.0 if mends else NEVER)

    return close({"watch": watch, "recorded": lambda: faults[0], "spent": meter.spent})


def judged(target: Any, seconds: float = 300.0) -> Verdict:
    claims = MemoryFlip().run(target, Knowledge(Knows.NOTHING), Budget(100, seconds), 0)
    return MemoryFlipJudge(1.0, 50.0).judge(claims)


def test_a_patrol_that_finds_tells_and_mends_is_said_to() -> None:
    verdict = judged(keeper(finds=True))
    missed, alarms, rounds, afresh = verdict.figures
    assert (missed.measured.value, missed.measured.n) == (0, 3)
    assert missed.measured.interval.high > 0.5, "three flips show little"
    assert alarms.measured.value == 0
    assert rounds.measured.value == pytest.approx(0.6)
    assert afresh.measured.value == 3
    assert verdict.severity == "none"
    assert "3 of 3 stand in the record, 3 of 3 were served afresh" in verdict.sentence
    assert "50 s as served" in verdict.why


def test_a_keeper_without_a_patrol_misses_all() -> None:
    verdict = judged(keeper(finds=False))
    assert verdict.figures[0].measured.value == 1
    assert verdict.severity == "critical"
    assert [figure.metric for figure in verdict.figures] == ["missed", "false alarms"]


def test_a_keeper_that_ends_by_itself_shows_nothing() -> None:
    assert judged(keeper(finds=True, cries=True)).status == "refused"


@pytest.mark.parametrize("lacking", ["mends", "tells"])
def test_what_is_found_and_neither_told_nor_mended_is_no_small_thing(lacking: str) -> None:
    verdict = judged(keeper(finds=True, **{lacking: False}))
    assert verdict.severity == "medium"
    assert "0 of" in verdict.sentence


def test_a_small_budget_flips_two_bits() -> None:
    claims = MemoryFlip().run(keeper(finds=True), Knowledge(Knows.NOTHING), Budget(9, 60.0), 0)
    assert isinstance(claims[0], Facts)
    assert claims[0].facts["flipped"] == (False, True, True)
