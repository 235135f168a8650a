"""Run random edits of a small sealed model against ``open_sealed`` and count what happens.

Used by the tests (some thousands of edits) and by ``fuzz/sealed_model.py`` (100,000). The edits
run in a process whose address space is capped a little above what it uses already, so that an
allocation which the file does not warrant fails as MemoryError, which is a finding.
"""

from __future__ import annotations

import collections
import random
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.opening import open_sealed
from strongroom.errors import ArtifactRefused, KeyRefused

from .edits import Files, Folder, random_edit
from .models import TRUST, Sealed, seal_model, some_tensors, write_sharded

HEADROOM_BYTES = 96 * 1024 * 1024


@dataclass
class Outcome:
    """How often each reason was given, and the edits that were not refused as they must be."""

    reasons: collections.Counter[str] = field(default_factory=collections.Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def edits(self) -> int:
        return sum(self.reasons.values()) + len(self.findings)


@contextmanager
def small_models() -> Iterator[tuple[Sealed, Files]]:
    """A sealed model of two shards in memory, and the files of another sealing of the same."""
    base = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        shards = [some_tensors(3, 700, seed) for seed in (1, 2)]
        shards[1] = {f"second.{name}": tensor for name, tensor in shards[1].items()}
        source = write_sharded(base / "model", shards)
        other = Folder(seal_model(source, base / "other").folder).original
        yield seal_model(source, base / "sealed"), other
    finally:
        shutil.rmtree(base)


def fuzz(edits: int, seed: int) -> Outcome:
    """Try ``edits`` edits; every one must raise ArtifactRefused or KeyRefused and nothing else."""
    outcome = Outcome()
    with small_models() as (sealed, other), capped_memory():
        folder = Folder(sealed.folder)
        for number in range(edits):
            rng = random.Random(f"{seed}:{number}")
            files = random_edit(folder.original, other, rng)
            folder.write(files)
            try_one(sealed.folder, sealed.key, f"seed {seed} edit {number}", outcome)
            folder.restore(files)
        open_sealed(sealed.folder, sealed.key, trust=TRUST, state=None)  # restored, so it opens
    return outcome


def try_one(folder: Path, key: DataKey, label: str, outcome: Outcome) -> None:
    try:
        open_sealed(folder, key, trust=TRUST, state=None, threads=1)
    except (ArtifactRefused, KeyRefused) as refusal:
        outcome.reasons[refusal.code] += 1
    except BaseException as error:
        outcome.findings.append(f"{label}: {type(error).__name__}: {error}")
    else:
        outcome.findings.append(f"{label}: opened")


@contextmanager
def capped_memory() -> Iterator[None]:
    """No more than ``HEADROOM_BYTES`` of address space beyond what is in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    cap = pages * resource.getpagesize() + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (cap, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
