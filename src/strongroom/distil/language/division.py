"""Which of the owner's texts serve for what; nothing serves twice.

Members trained the teacher; of the others some stand beside them where membership is asked. What
the student learns on, and what is held for utility, comes from a file of public texts, or from the
rest of the others. The owner's file is that of ``strongroom audit``; a file of public texts has the
same lines, none of them a member or a canary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.distil.reasons import refuse
from strongroom.exposure.data import Canary, Corpus
from strongroom.exposure.judge.membership import LEAST
from strongroom.exposure.measurement.low_fpr import needed

_RATE = 0.01
_HELD = 0.1
_MOST_HELD = 400


@dataclass(frozen=True)
class TextDivision:
    """``members`` and ``others``: where membership is asked. ``held``: for utility. ``corpus``:
    what the student learns on. ``canaries``: those planted, and those with no copies.

    ``overlap``: members and canaries that stand in the corpus, word for word.
    """

    members: tuple[str, ...]
    others: tuple[str, ...]
    held: tuple[str, ...]
    corpus: tuple[str, ...]
    canaries: tuple[Canary, ...]
    overlap: int


def divide(owner: Corpus, public: Corpus | None, seed: int) -> TextDivision:
    """The same division for the same texts and seed.

    Raises:
        ExposureRefused: ``distil.records_too_few``, ``distil.corpus_unfit``.
    """
    chance = np.random.default_rng(seed)
    members = _mixed([t.text for t in owner.texts if t.member], chance)
    others = _mixed([t.text for t in owner.texts if not t.member], chance)
    if public is None:
        beside = min(len(others) // 2, max(needed(_RATE), len(members)))
        rest = others[beside:]
        held = len(rest) // 3
    else:
        if public.canaries or any(text.member for text in public.texts):
            raise refuse("distil.corpus_unfit", why="it holds members or canaries")
        beside = len(others)
        rest = _mixed([text.text for text in public.texts], chance)
        held = min(int(_HELD * len(rest)), _MOST_HELD)
    if min(len(members), beside, held) < LEAST:
        raise refuse(
            "distil.records_too_few",
            why=f"{len(members)} members, {beside} others, {held} held texts",
        )
    corpus = rest[held:]
    secrets = [canary.prefix + canary.secret for canary in owner.canaries if canary.copies]
    return TextDivision(
        tuple(members),
        tuple(others[:beside]),
        tuple(rest[:held]),
        tuple(corpus),
        owner.canaries,
        _standing([*members, *secrets], corpus),
    )


def _mixed(texts: Sequence[str], chance: np.random.Generator) -> list[str]:
    return [texts[number] for number in chance.permutation(len(texts))]


def _standing(texts: Sequence[str], corpus: Sequence[str]) -> int:
    whole = "\n".join(_words(text) for text in corpus)
    return sum(_words(text) in whole for text in texts)


def _words(text: str) -> str:
    return " ".join(text.split())
