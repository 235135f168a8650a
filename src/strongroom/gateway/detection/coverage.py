"""How evenly the new text of an organisation covers the vocabulary.

Language repeats its common words: of a thousand tokens of new text, a few hundred differ, fewer on
one subject. Random prompts and walks over the vocabulary hardly repeat any, and instructions made
to touch on everything repeat less than people who work on something. The score is the share of
different tokens among 512 of new text.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.gateway.detection.sketching import Buckets

_SAMPLE: Final = 512
_MOST_EACH: Final = 48
_SMOOTH: Final = 0.25


class Coverage:
    """One stream of new tokens; 1 KiB. Of one prompt, 48 tokens at most count."""

    __slots__ = ("_filled", "_tokens", "samples", "score")

    def __init__(self) -> None:
        self._tokens: npt.NDArray[np.uint16] = np.zeros(_SAMPLE, dtype=np.uint16)
        self._filled = 0
        self.samples = 0
        self.score = 0.0

    def add(self, new: Buckets) -> None:
        """Add the new tokens of one prompt."""
        fresh = new[:_MOST_EACH]
        end = min(_SAMPLE, self._filled + fresh.size)
        self._tokens[self._filled : end] = fresh[: end - self._filled]
        self._filled = end
        if end == _SAMPLE:
            share = len(np.unique(self._tokens)) / _SAMPLE
            self.samples += 1
            self.score += (share - self.score) * max(_SMOOTH, 1 / self.samples)
            self._filled = 0
