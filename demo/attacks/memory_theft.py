"""Another process of the same user reads the keeper's memory, where the weights must be plain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from demo import ROOT
from demo.attacks.interface import Attack, Outcome
from demo.disk import weight_windows
from demo.memory import MemorySearch
from demo.privilege import as_ordinary_child, ptrace_scope

if TYPE_CHECKING:
    from demo.stage import Stage

VICTIM = """
import sys
from demo.privilege import open_to_all_tracers
open_to_all_tracers()
weights = open(sys.argv[1], "rb").read()
print("holding", flush=True)
sys.stdin.read()
"""
"""The control: a process that holds the same weights and has raised no wall."""


class MemoryTheft(Attack):
    """Attacker, keeper and control run under one user, all without capabilities."""

    name = "Reading the keeper's memory as the same user"
    goal = "Copy the weights out of the process that has them in the clear."
    expected = "held: the kernel refuses"
    reasons = frozenset({"Permission denied", "Operation not permitted"})

    def run(self, stage: Stage) -> Outcome:
        window = weight_windows(stage.plain / "model.safetensors")[0]
        control = steal_from_open_process(stage.plain / "model.safetensors", window)
        got = steal(stage.keeper_pid, window)
        worked = control.hits == [1] or ptrace_scope() >= 2  # then the kernel denies everybody
        told = "the same attacker reads a process without walls"
        reason = got.refusal.partition(" (")[0]
        if got.bytes_read:
            evidence = f"{got.bytes_read:,} bytes of the keeper were read, weights: {got.hits}."
            return Outcome("succeeded", "memory read", evidence, told, worked)
        evidence = (
            f"/proc/{stage.keeper_pid}/mem stayed shut; the same reader took the weights out of "
            f"{control.bytes_read >> 20} MiB of an unlocked process."
        )
        return Outcome("held", reason, evidence, told, worked)


def steal(pid: int, needle: bytes) -> MemorySearch:
    """Search ``pid`` from a process of its own that has no capabilities."""
    done = subprocess.run(
        [sys.executable, "-m", "demo.memory", str(pid), needle.hex()],
        cwd=ROOT,
        preexec_fn=as_ordinary_child,
        capture_output=True,
        text=True,
        check=True,
    )
    return MemorySearch(**json.loads(done.stdout))


def steal_from_open_process(weights: Path, needle: bytes) -> MemorySearch:
    """The control: the same search in a process that holds ``weights`` and has no walls."""
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(weights)],
        cwd=ROOT,
        preexec_fn=as_ordinary_child,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as victim:
        try:
            if victim.stdout is None or victim.stdout.readline() != b"holding\n":
                raise RuntimeError("the control process did not start")
            return steal(victim.pid, needle)
        finally:
            victim.kill()
