"""Of which tokens an organisation has seen scores: counted, capped, remembered.

A score is one coordinate of the model's output. Coordinates of more distinct tokens than the model
is wide give its width by linear algebra, and then its last layer (Carlini et al. 2024, Finlayson et
al. 2024); rounding does not prevent it. So at the rungs ``top1`` and ``topk``

1. one answer shows scores of at most ``tokens_per_answer`` distinct tokens;
2. an organisation sees scores of at most ``tokens_per_organisation`` distinct tokens, ever.

What was shown is kept in a file that is mapped before lock-down: a page that names each
organisation (by hash) and a bit for each token. A bit is set before its score leaves, by one store
that nothing can leave half done, and never cleared. There are 256 places; whoever finds none sees
no scores.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from strongroom.errors import RequestRefused
from strongroom.keeper.config import ScoreCaps
from strongroom.keeper.egress import NOBODY, owner_of
from strongroom.keeper.meter_state import PAGE, damaged, judge, unusable

PLACES: Final = 256
MOST_TOKENS: Final = 2**18
"""Tokens that have a bit; scores of others are not shown."""

_MAGIC: Final = b"strongroom seen1"
_PLACE_BYTES: Final = PAGE + MOST_TOKENS // 8
FILE_BYTES: Final = PAGE + PLACES * _PLACE_BYTES


class Coordinates:
    """The caps, over ``memory``: ``FILE_BYTES`` of a mapped file (see ``open_memory``)."""

    def __init__(self, memory: mmap.mmap | bytearray, caps: ScoreCaps) -> None:
        self._memory = memory
        self._caps = caps
        self._places: dict[bytes, int] = {}
        self._counts: list[int] = []
        for start in range(PAGE, FILE_BYTES, _PLACE_BYTES):
            owner = bytes(memory[start : start + len(NOBODY)])
            if owner == NOBODY:
                break
            bits = memory[start + PAGE : start + _PLACE_BYTES]
            self._places[owner] = len(self._counts)
            self._counts.append(int.from_bytes(bits, "little").bit_count())

    def require(self, tenant: str, top: int) -> None:
        """Refuse a generation whose first scores might already be too many.

        Raises:
            RequestRefused: ``keeper.scores_exhausted``.
        """
        place = self._places.get(owner_of(tenant))
        seen = self._counts[place] if place is not None else 0
        full = place is None and len(self._counts) == PLACES
        if full or seen + top > self._caps.tokens_per_organisation:
            raise RequestRefused(
                "keeper.scores_exhausted",
                "Scores of as many distinct tokens as are granted have been shown.",
                action="Ask without scores, or ask the model's owner for a higher cap.",
            )

    def show(self, tenant: str, in_answer: set[int], tokens: Collection[int]) -> bool:
        """Note that scores of ``tokens`` are shown; false if a cap forbids it, then none is noted.

        ``in_answer`` are the tokens whose scores this answer has shown; those shown now are added.
        """
        place = self._place(owner_of(tenant))
        shown = in_answer.union(tokens)
        if place is None or max(shown, default=0) >= MOST_TOKENS:
            return False
        bits = PAGE + place * _PLACE_BYTES + PAGE
        fresh = [t for t in set(tokens) if not self._memory[bits + t // 8] >> t % 8 & 1]
        count = self._counts[place] + len(fresh)
        if len(shown) > self._caps.tokens_per_answer or count > self._caps.tokens_per_organisation:
            return False
        for token in fresh:
            self._memory[bits + token // 8] |= 1 << token % 8
        self._counts[place] = count
        in_answer |= shown
        return True

    def _place(self, owner: bytes) -> int | None:
        """The place of an organisation, taken if it has none; ``None`` if there is none."""
        if owner not in self._places:
            if len(self._counts) == PLACES:
                return None
            start = PAGE + len(self._counts) * _PLACE_BYTES
            self._memory[start : start + len(owner)] = owner
            self._places[owner] = len(self._counts)
            self._counts.append(0)
        return self._places[owner]


def open_memory(path: Path) -> mmap.mmap:
    """Map the file at ``path``, made if it is not there (8 MiB).

    Raises:
        ConfigurationRefused: as for the egress meter's other file, ``keeper.egress_state_damaged``,
            ``keeper.egress_state_in_use`` or ``keeper.egress_state_unusable``.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
        if os.fstat(descriptor).st_size <= len(_MAGIC):  # new, or its maker was killed
            os.pwrite(descriptor, _MAGIC, 0)
            os.posix_fallocate(descriptor, 0, FILE_BYTES)  # a store must never find no disk
    except OSError as error:
        raise unusable(path, error.strerror or "it cannot be opened") from None
    try:
        judge(path, descriptor, FILE_BYTES)
        mapped = mmap.mmap(descriptor, FILE_BYTES, mmap.MAP_SHARED)
    finally:
        os.close(descriptor)  # the mapping keeps the file open, and with it the lock
    if mapped[: len(_MAGIC)] != _MAGIC:
        raise damaged(path)
    return mapped
