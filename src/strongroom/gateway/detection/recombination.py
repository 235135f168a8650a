"""Prompts that are new as a whole although every part of them has been seen: grids and sweeps.

People repeat themselves word for word, or say something new. A generator that fills the slots of
a template, enumerates values, or grows a prefix token by token does neither: its prompts differ,
but hardly a pair of neighbouring tokens is new. The score is the share of such prompts.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.gateway.detection.sketching import BUCKET_BITS, Buckets, TextSketch

WARM: Final = 64
"""Prompts from which the parts are learnt before any is judged."""

LEAST_JUDGED: Final = 64
"""Prompts that must have been judged before the score means something."""

_BLOCK: Final = 64
_KEPT_BLOCKS: Final = 4
_MOST_NEW: Final = 2
_SMOOTH: Final = 1 / 64
_LAST: Final = 255


class Recombination:
    """One stream of prompts; 64 KiB. A pair is new if it was not in the last four blocks of 64."""

    __slots__ = ("_block", "_count", "_last_seen", "_prompts", "judged", "score")

    def __init__(self) -> None:
        self._last_seen: npt.NDArray[np.uint8] = np.zeros(1 << BUCKET_BITS, dtype=np.uint8)
        self._block = _KEPT_BLOCKS + 1
        self._prompts: set[int] = set()
        self._count = 0
        self.judged = 0
        self.score = 0.0

    def add(self, sketch: TextSketch) -> Buckets:
        """Judge one prompt; the later token of each pair that is new."""
        seen = self._last_seen[sketch.pairs] >= self._block - _KEPT_BLOCKS
        self._last_seen[sketch.pairs] = self._block
        new = sketch.seconds[~seen]
        self._count += 1
        if self._count > WARM and sketch.whole not in self._prompts:
            self.judged += 1
            rate = max(_SMOOTH, 1 / self.judged)
            self.score += ((new.size <= _MOST_NEW) - self.score) * rate
        self._prompts.add(sketch.whole)
        if self._count % _BLOCK == 0:
            self._turn()
        return new

    def _turn(self) -> None:
        if len(self._prompts) > _BLOCK * _KEPT_BLOCKS:
            self._prompts.clear()
        if self._block == _LAST:
            gone = _LAST - _KEPT_BLOCKS - 1
            np.subtract(self._last_seen, gone, out=self._last_seen, where=self._last_seen > gone)
            self._last_seen[self._last_seen > _KEPT_BLOCKS + 1] = 0
            self._block = _KEPT_BLOCKS + 1
        self._block += 1
