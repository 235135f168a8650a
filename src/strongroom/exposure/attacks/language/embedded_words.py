"""What a text says, from its embedding: words that a linear map reads out of it.

An embedding is a mean of hidden states. Who may ask for embeddings of texts of his own learns a
ridge regression from embedding to words, and reads others' embeddings with it: of a store that was
copied, say. The door's steps of 1/127 blur it little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Floats,
    Knowledge,
    Knows,
    Texts,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse, stops

GUESSES = 5
"""Words named of each text."""

_MOST_TEXTS = 400
_TOGETHER = 16
_LEAST = 30
_COMMON = 0.3
"""Share of the texts above which a word says nothing of one."""

_RIDGE = 0.1


class EmbeddedWords(Attack):
    """Name the likeliest words of texts of which only the embeddings are known.

    Args:
        texts: of the attacker's own that are embedded, at most.
    """

    name = "embedded-words"
    family = Family.INVERSION
    goal = "Read words of a text out of its embedding."
    rungs = (Rung.EMBEDDINGS,)
    knowledge = (Knows.DATA,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.001", "OWASP-LLM:LLM08:2025")
    source = "Song and Raghunathan 2020, arXiv 2004.00053; Morris et al. 2023, arXiv 2310.06816"
    cost = "one query a text of the attacker's own"

    def __init__(self, texts: int = _MOST_TEXTS) -> None:
        self.texts = texts

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """For each embedding asked about (rows of ``knowledge.asked``) a few words."""
        texts = list(knowledge.data or ())[: min(self.texts, budget.queries)]
        seen: list[Floats] = []
        while len(seen) < len(texts):
            try:
                seen.extend(target.embed(texts[len(seen) : len(seen) + _TOGETHER]))
            except ExposureRefused as error:
                if len(seen) < _LEAST or not stops(error):
                    raise
                break
        if len(seen) < _LEAST:
            raise refuse("exposure.knowledge_lacking", what=f"{_LEAST} texts of the attacker's own")
        words = telling_words(texts[: len(seen)])
        if len(words) < GUESSES:
            raise refuse("exposure.knowledge_lacking", what="words that several of his texts share")
        present = np.array([[word in said for word in words] for said in map(words_of, texts)])
        read = _ridge(np.stack(seen), present[: len(seen)].astype(float), knowledge.asked)
        best = np.argsort(-read, axis=1)[:, :GUESSES]
        named = tuple(tuple(words[place] for place in row) for row in best)
        return [Texts(target.spent().queries, named)]


def words_of(text: str) -> set[str]:
    """The words of a text, in small letters, without what stands around them."""
    return {word for part in text.lower().split() if (word := part.strip(".,;:!?()[]{}'\"`*"))}


def telling_words(texts: Sequence[str]) -> list[str]:
    """Words of three texts at least and few enough to tell one from another, commonest first."""
    often = Counter(word for text in texts for word in words_of(text))
    most = _COMMON * len(texts)
    return [word for word, count in often.most_common() if 3 <= count <= most]


def _ridge(seen: Floats, present: Floats, asked: Floats) -> Floats:
    """How much each row of ``asked`` speaks for each word, in spreads of what is usual for it."""
    mean, spread = seen.mean(0), seen.std(0) + 1e-6
    rows, others = (seen - mean) / spread, (asked - mean) / spread
    usual = present.mean(0)
    gram = rows @ rows.T
    strength = _RIDGE * np.trace(gram) / len(gram)
    dual = np.linalg.solve(gram + strength * np.eye(len(gram)), present - usual)
    found: Floats = usual + others @ rows.T @ dual
    return found
