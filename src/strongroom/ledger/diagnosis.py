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


_PLACES = msgspec.json.Decoder(_Place)


def compare(found: Sequence[Mark], expected: Sequence[Mark]) -> tuple[str, int] | None:
    """(reason code, place of the first difference), or None where there is none.

    Missing at the end only: ``ledger.truncated``. Missing, additional or in another order:
    ``ledger.dropped``, ``ledger.inserted``, ``ledger.reordered``. Anything else:
    ``ledger.altered``.
    """
    if len(found) == len(expected) and all(map(_same, found, expected)):
        return None
    shorter = min(len(found), len(expected))
    place = next((i for i in range(shorter) if found[i] != expected[i]), shorter)
    extra, missing = Counter(found), Counter(expected)
    extra.subtract(expected)
    missing.subtract(found)
    if any(count > 0 for count in extra.values()):
        more = any(count > 0 for count in missing.values())
        return ("ledger.altered" if more else "ledger.inserted"), place
    if len(found) == len(expected):
        return "ledger.reordered", place
    return ("ledger.truncated" if place == len(found) else "ledger.dropped"), place


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


def _same(one: Mark, other: Mark) -> bool:
    return one == other
