"""A plain model takes the sealed one's place: the classic of loaders that "fall back"."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from demo.attacks.interface import Outcome
from demo.attacks.sealed import NOTHING, SealedAttack, first_body, judge, sealed_copy

if TYPE_CHECKING:
    from demo.stage import Stage


class PlainInstead(SealedAttack):
    """Twice: the whole folder becomes the plain one, or only the body's bytes do."""

    name = "A plain model in the sealed one's place"
    goal = "Have weights of the attacker's choice loaded, because they look like a model."
    reasons = frozenset({"artifact.plain_model / artifact.part_replaced"})

    def tamper(self, stage: Stage, copy: Path) -> str:
        """The body, at its exact length, becomes plain safetensors bytes."""
        body = first_body(copy)
        length = body.stat().st_size
        body.unlink()
        plain = (stage.plain / "model.safetensors").read_bytes()
        body.write_bytes(plain[:length].ljust(length, b"\0"))
        return "plain bytes stood for a sealed body of the same length"

    def run(self, stage: Stage) -> Outcome:
        codes = {"verify (folder)": stage.verify_code(stage.plain)}
        codes["open (folder)"] = stage.open_code(stage.plain)
        with sealed_copy(stage.sealed, stage.work) as copy:
            untouched = stage.open_code(copy)
            done = self.tamper(stage, copy)
            codes["verify (body)"] = stage.verify_code(copy)
            codes["open (body)"] = stage.open_code(copy)
        done = "The plain folder was offered, then " + done
        return judge(codes, done, "the sealed copy opened before", control_ok=untouched == NOTHING)


class PlainBeside(SealedAttack):
    """A plain file that a careless loader would prefer lies in the sealed folder."""

    name = "A plain weight file beside the sealed ones"
    goal = "Have a loader pick the plain file that lies in the same folder."
    reasons = frozenset({"artifact.plain_weights_beside"})

    def tamper(self, stage: Stage, copy: Path) -> str:
        shutil.copyfile(stage.plain / "model.safetensors", copy / "model.safetensors")
        return "model.safetensors was put into the sealed folder"
