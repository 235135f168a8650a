"""Two sealed segments change places: every one of them is authentic, only the order is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo.attacks.sealed import SealedAttack, own
from strongroom.artifact.manifest import read_manifest

if TYPE_CHECKING:
    from demo.stage import Stage


class SegmentSwap(SealedAttack):
    """Swaps whole ciphertext segments, hence the tensors in them."""

    name = "Two swapped tensors (sealed bytes)"
    goal = "Put the weights of one layer where another's belong, without any key."
    reasons = frozenset({"artifact.segment_moved"})

    def tamper(self, stage: Stage, copy: Path) -> str:
        manifest = read_manifest(copy, stage.trust)
        placed = next(part for part in manifest.placed_parts() if part.part.role == "weights")
        first, second = 2, placed.geometry.segments - 2  # full ones both, so of one length
        body = own(copy / placed.part.name)
        content = bytearray(body.read_bytes())
        one, other = (_span(placed.geometry.file_span(number)) for number in (first, second))
        content[one], content[other] = content[other], content[one]
        body.write_bytes(content)
        return f"Segments {first} and {second} changed places"


def _span(place: tuple[int, int]) -> slice:
    start, length = place
    return slice(start, start + length)
