"""What was done to a sequence of records that does not lead to the root signed for it.

Records are compared by something that identifies each: their leaf hashes, where the hash tiles
still lead to the root, else the place that each record says it has. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from strongroom.ledger.reasons import refuse

Mark = bytes | int


class _Place(msgspec.Struct):
    index: int


_VERDICTS = {
    (True, True): "ledger.altered",
    (True, False): "ledger.inserted",
    (False, True): "ledger.dropped",
    (False, False): "ledger.reordered",
}
_PLACES = msgspec.json.Decoder(_Place)


def compare(found: Sequence[Mark], expected: Sequence[Mark]) -> tuple[str, int] | None:
    """(reason code, place of the first difference), or None where there is none.

    Only the end is missing: ``ledger.truncated``. Else the first difference decides: what should
    stand there stands nowhere, ``ledger.dropped``; what stands there should stand nowhere,
    ``ledger.inserted``; both, ``ledger.altered``; neither, ``ledger.reordered``.
    """
    shorter = min(len(found), len(expected))
    place = next((i for i in range(shorter) if found[i] != expected[i]), shorter)
    if place == len(found) == len(expected):
        return None
    if place == len(found):
        return "ledger.truncated", place
    surplus = Counter(found)
    surplus.subtract(expected)
    inserted = surplus[found[place]] > 0
    dropped = place < len(expected) and surplus[expected[place]] < 0
    return _VERDICTS[inserted, dropped], place


def refusal(verdict: tuple[str, int], where: object, size: int) -> Exception:
    """The error for what ``compare`` found in a log that was signed for ``size`` records."""
    code, place = verdict
    if code == "ledger.truncated":
        return refuse(code, where=where, size=place, seen=size)
    return refuse(code, where=where, index=place)


def claimed_places(entries: Sequence[bytes]) -> list[int]:
    """The index that each record says it has; -1 for what is no record."""
    return [_claimed(raw) for raw in entries]


def _claimed(raw: bytes) -> int:
    try:
        return _PLACES.decode(raw).index
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return -1
