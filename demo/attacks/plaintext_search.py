"""Searches the disk, tmpfs and the keeper's open files for weights that were left in the clear."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from demo.attacks.interface import Attack, Outcome
from demo.disk import DiskSearch, files_under, search_files, weight_windows

if TYPE_CHECKING:
    from demo.stage import Stage


class PlaintextSearch(Attack):
    """Windows of real weights are looked for wherever this run can have written.

    Shared folders are searched for what changed since the demonstration began; other
    demonstrations that run at the same time keep to folders of their own, which are left out.
    """

    name = "Plaintext weights on disk or tmpfs"
    goal = "Find the weights in a file that loading or serving left behind."
    expected = "held: nothing is found"

    def run(self, stage: Stage) -> Outcome:
        windows = weight_windows(stage.plain / "model.safetensors")
        control = search_files(files_under([stage.plain]), windows)
        found = search_files(stage_files(stage), windows)
        told = f"the same search finds them in {stage.plain.name}"
        control_ok = control.found == [stage.plain / "model.safetensors"]
        if found.found:
            evidence = f"Weights lie in {', '.join(map(str, found.found[:3]))}."
            return Outcome("succeeded", "plaintext found", evidence, told, control_ok)
        return Outcome("held", "not found", _evidence(found, len(windows)), told, control_ok)


def _evidence(found: DiskSearch, windows: int) -> str:
    return (
        f"{windows} windows of 64 bytes were looked for in {found.files} files "
        f"({found.bytes_read >> 20} MiB): the home, the sealed models, temporary folders, "
        "/dev/shm, and the keeper's open files."
    )


def stage_files(stage: Stage) -> Iterator[Path]:
    """Every file in which plaintext could have been left."""
    yield from files_under([stage.work])
    shared = {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}
    for path in files_under(sorted(shared), changed_since=stage.began):
        if not any(part.startswith("strongroom-demo-") for part in path.parts):
            yield path
    yield from open_files(stage.keeper_pid)


def open_files(pid: int) -> Iterator[Path]:
    """The files that ``pid`` holds open, deleted and in-memory ones too, if we may look."""
    try:
        yield from (Path(entry.path) for entry in os.scandir(f"/proc/{pid}/fd"))
    except PermissionError:
        return  # the keeper is not dumpable, and we are an ordinary user
