"""One bit of the ciphertext changes: bad storage, or somebody who hopes that nobody checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo.attacks.sealed import SealedAttack, first_body, own

if TYPE_CHECKING:
    from demo.stage import Stage


class BitFlip(SealedAttack):
    """The middle of the weights, so that headers and last segments have nothing to do with it."""

    name = "A flipped ciphertext bit"
    goal = "Have a model with one altered weight opened."
    reasons = frozenset({"artifact.segment_altered"})

    def tamper(self, stage: Stage, copy: Path) -> str:
        body = own(first_body(copy))
        position = body.stat().st_size // 2
        with body.open("r+b") as file:
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ 0x01]))
        return f"Bit 0 of byte {position:,} was flipped"
