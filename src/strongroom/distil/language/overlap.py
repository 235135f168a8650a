"""How much of the teacher's training texts stands in a student's corpus, not only word for word.

A text is a near copy where half of its runs of ``RUN`` words stand in the corpus; one that is
shorter than a run counts as one. Case and what is no letter or digit are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

RUN: Final = 8
SHARE: Final = 0.5
_WORD: Final = re.compile(r"\w+")


def near_copies(texts: Sequence[str], corpus: Iterable[str]) -> int:
    """How many of ``texts`` are near copies."""
    words = [each for text in texts if (each := _words(text))]
    wanted = [set(_runs(each, min(len(each), RUN))) for each in words]
    sizes, runs = {min(len(each), RUN) for each in words}, set().union(*wanted)
    found: set[int] = set()
    for text in corpus:
        theirs = _words(text)
        for size in sizes:
            found.update(runs.intersection(_runs(theirs, size)))
    return sum(len(each & found) >= SHARE * len(each) for each in wanted)


def _runs(words: list[str], size: int) -> list[int]:
    return [hash(tuple(words[at : at + size])) for at in range(len(words) - size + 1)]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
