"""How many words a model foretells: what of a teacher's utility a student keeps.

A word is foretold if greedy decoding after all that stands before it says this word and then ends
it. The share of words is comparable between models of different tokenizers, which the share of
tokens is not (shorter tokens are foretold more easily), and a ratio of two shares means something:
0 is a model that foretells nothing, and 1 the teacher, as with a classifier's accuracy. A ratio of
perplexities or of bits has no such ends; both are told beside it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from strongroom.distil.language.utility import Reading

_WORD: Final = re.compile(r"\w+")


def foretold(readings: Sequence[Reading], texts: Sequence[str]) -> float | None:
    """The share of words that are foretold, but for each text's first; None where there is none.

    Args:
        readings: of ``texts``, as far as the model's context goes; words after it do not count.
        texts: held ones.
    """
    right = words = 0
    for reading, text in zip(readings, texts, strict=True):
        ends = sorted(reading.following)
        for found in _WORD.finditer(text):
            first, last = bisect_right(ends, found.start()) - 1, bisect_right(ends, found.end())
            if first >= 0 and found.end() <= ends[-1]:
                words += 1
                right += _said(reading.following, text, ends[first:last], found.end())
    return right / words if words else None


def _said(following: Mapping[int, str], text: str, ends: Sequence[int], stop: int) -> bool:
    """Whether each token between ``ends`` is the likeliest, and after ``stop`` no letter is."""
    if ends[-1] != stop:  # a token goes on beyond the word
        return False
    if any(following[at] != text[at:end] for at, end in pairwise(ends)):
        return False
    return not _WORD.match(following[stop])
