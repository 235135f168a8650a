"""What all attacks on the sealed files share: tamper with a copy, then try to verify and open it.

Both doors are tried: ``strongroom verify`` as a person runs it, without any key, and opening with
the real data key, as the keeper does.
"""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo.attacks.interface import Attack, Outcome

if TYPE_CHECKING:
    from demo.stage import Stage

NOTHING = ""
"""Stands for "it was not refused" where the code of a refusal is expected."""


class SealedAttack(Attack):
    """Tampers with a copy of the sealed model; the untouched copy is the control."""

    expected = "refused"

    @abstractmethod
    def tamper(self, stage: Stage, copy: Path) -> str:
        """Change ``copy`` in place; returns what was done, as the start of a sentence."""

    def run(self, stage: Stage) -> Outcome:
        with sealed_copy(stage.sealed, stage.work) as copy:
            untouched = stage.open_code(copy)
            done = self.tamper(stage, copy)
            codes = {"verify": stage.verify_code(copy), "open": stage.open_code(copy)}
        control = "the copy opened before it was touched"
        return judge(codes, done, control, control_ok=untouched == NOTHING)


def judge(codes: dict[str, str], done: str, control: str, *, control_ok: bool) -> Outcome:
    """An outcome from the code that each door refused with (empty where it let us in)."""
    let_in = [door for door, code in codes.items() if code == NOTHING]
    if let_in:
        evidence = f"{done}, and it passed {' and '.join(let_in)}."
        return Outcome("succeeded", "accepted", evidence, control, control_ok)
    reason = " / ".join(dict.fromkeys(codes.values()))
    evidence = f"{done}; refused by {' and by '.join(codes)}."
    return Outcome("refused", reason, evidence, control, control_ok)


@contextmanager
def sealed_copy(sealed: Path, work: Path) -> Iterator[Path]:
    """A copy of a sealed model to tamper with: hard links, until ``own`` makes a file our own."""
    copy = work / "tampered.sealed"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    try:
        for path in sealed.iterdir():
            os.link(path, copy / path.name)
        yield copy
    finally:
        shutil.rmtree(copy)


def own(path: Path) -> Path:
    """Replace a hard link by a file of its own, so that writing leaves the original alone."""
    beside = path.with_name(path.name + ".own")
    shutil.copyfile(path, beside)
    beside.replace(path)
    return path


def first_body(sealed: Path) -> Path:
    """The first file of sealed weights."""
    return sorted(sealed.glob("weights-*.floe"))[0]
