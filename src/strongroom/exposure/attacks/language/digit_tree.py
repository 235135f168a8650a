"""The rank of a secret among all secrets of as many digits, by branch and bound.

A prefix that is already less likely than the whole secret cannot hold a likelier one, since every
further digit only lowers a probability. So the tree of digits is opened only where it could still
beat the secret: a memorised secret is ranked exactly after little more than one look a digit.

1. Open the prefixes of the secret itself: its own log-probability, and those of its siblings.
2. Open, likeliest first, what is likelier than the secret and not yet whole; count the whole ones.
3. Nothing left to open: the count is the rank, exactly. More waits to be opened than looks are
   left: give up; whoever asked then estimates the rank from secrets drawn at random.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from strongroom.exposure.interface import Floats

Look = Callable[[str], Floats]
"""From digits so far to the log-probabilities of the ten next ones, (10,); -inf where unknown."""


@dataclass(frozen=True)
class Found:
    """``rank``: how many secrets are likelier, at least; exactly so if ``exact``.

    ``logprob`` is the secret's own, ``looks`` how many prefixes were opened.
    """

    rank: int
    exact: bool
    logprob: float
    looks: int


def rank(look: Look, secret: str, most: int) -> Found:
    """Where ``secret`` stands among all of its length, with at most ``most`` looks.

    Raises:
        ValueError: ``secret`` is not made of digits.
    """
    if not secret.isascii() or not secret.isdigit():
        raise ValueError("a secret is made of the digits 0 to 9")
    siblings: list[tuple[float, str]] = []
    own = 0.0
    for at, digit in enumerate(secret):
        chances = look(secret[:at])
        siblings += [
            (own + float(chance), secret[:at] + str(other))
            for other, chance in enumerate(chances)
            if str(other) != digit
        ]
        own += float(chances[int(digit)])
    return _search(look, secret, own, siblings, most)


def _search(
    look: Look, secret: str, own: float, siblings: list[tuple[float, str]], most: int
) -> Found:
    length, looks, better = len(secret), len(secret), 0
    waiting = [(-chance, prefix) for chance, prefix in siblings if chance > own]
    heapq.heapify(waiting)
    unopened = sum(len(prefix) < length for _, prefix in waiting)
    while waiting:
        negative, prefix = heapq.heappop(waiting)
        if len(prefix) == length:
            better += 1
            continue
        if looks + unopened > most:
            return Found(better, False, own, looks)
        looks, unopened = looks + 1, unopened - 1
        for digit, chance in enumerate(look(prefix)):
            if chance - negative > own:
                heapq.heappush(waiting, (negative - float(chance), prefix + str(digit)))
                unopened += len(prefix) + 1 < length
    return Found(better, bool(np.isfinite(own)), own, looks)
