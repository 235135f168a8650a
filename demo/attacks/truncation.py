"""The file ends early: an interrupted download, or a layer cut off on purpose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from demo.attacks.sealed import SealedAttack, first_body, own
from strongroom.artifact.manifest import read_manifest

if TYPE_CHECKING:
    from demo.stage import Stage


class Truncation(SealedAttack):
    """Cuts at a segment's boundary, where each segment that is left is still authentic."""

    name = "A truncated file"
    goal = "Have a model opened whose last layers are missing."
    reasons = frozenset({"artifact.truncated"})

    def tamper(self, stage: Stage, copy: Path) -> str:
        segment = read_manifest(copy, stage.trust).parameters.segment_bytes
        body = own(first_body(copy))
        os.truncate(body, body.stat().st_size - 3 * segment)
        return "The last three segments were cut off"
