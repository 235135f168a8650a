"""Looks for the data key in the process that opened the model, after it should have been wiped."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from demo import ROOT
from demo.attacks.interface import Attack, Outcome
from demo.disk import weight_windows
from demo.memory import MemorySearch, search_memory
from demo.privilege import as_ordinary_child, may_read_any_process
from strongroom.artifact.secret_access import TOKEN

if TYPE_CHECKING:
    from demo.stage import Stage


class KeyInMemory(Attack):
    """As root the running keeper is searched. As anybody else that is just what cannot be done, so
    a child opens the model with the keeper's own code, raises no wall, and is searched instead.
    """

    name = "The data key in the keeper's memory"
    goal = "Find the key that opens every copy of this release, wherever it is kept."
    expected = "held: nothing is found"

    def run(self, stage: Stage) -> Outcome:
        window = weight_windows(stage.plain / "model.safetensors")[0]
        with stage.data_key() as key:
            secret = bytes(key.reveal(TOKEN))
        if may_read_any_process():
            who, seen = (
                "the serving keeper, read as root",
                _search(stage.keeper_pid, secret, window),
            )
        else:
            who, seen = "a child that opened it likewise", _search_child(stage, secret, window)
        keys, weights = seen.hits if seen.hits else (0, 0)
        control = "the same search finds a window of the weights there"
        evidence = (
            f"{seen.bytes_read >> 20} MiB of {who}: key found {keys} times, weights {weights}."
        )
        if keys:
            return Outcome("succeeded", "key found", evidence, control, weights > 0)
        return Outcome("held", "not found", evidence, control, weights > 0)


def _search(pid: int, secret: bytes, window: bytes) -> MemorySearch:
    return search_memory(pid, [secret, window])


def _search_child(stage: Stage, secret: bytes, window: bytes) -> MemorySearch:
    with subprocess.Popen(
        [sys.executable, "-m", "demo.opened", str(stage.home), str(stage.sealed)],
        cwd=ROOT,
        preexec_fn=as_ordinary_child,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        try:
            if child.stdout is None or child.stdout.readline() != b"opened\n":
                raise RuntimeError("the child could not open the sealed model")
            return _search(child.pid, secret, window)
        finally:
            child.kill()
