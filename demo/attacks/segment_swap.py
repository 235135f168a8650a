"""Two sealed segments change places: every one of them is authentic, only the order is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.artifact.floe import GCM256_IV256_1M, HEADER_BYTES

from demo.attacks.sealed import SealedAttack, first_body, own

if TYPE_CHECKING:
    from demo.stage import Stage


class SegmentSwap(SealedAttack):
    """Swaps whole ciphertext segments, hence the tensors in them."""

    name = "Two swapped tensors (sealed bytes)"
    goal = "Put the weights of one layer where another's belong, without any key."
    reasons = frozenset({"artifact.segment_moved"})

    def tamper(self, stage: Stage, copy: Path) -> str:
        body = own(first_body(copy))
        size = GCM256_IV256_1M.segment_bytes
        first, second = (HEADER_BYTES + number * size for number in (2, 5))
        with body.open("r+b") as file:
            file.seek(first)
            one = file.read(size)
            file.seek(second)
            other = file.read(size)
            for place, segment in ((first, other), (second, one)):
                file.seek(place)
                file.write(segment)
        return "Segments 2 and 5 changed places"
