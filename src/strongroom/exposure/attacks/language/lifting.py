"""What a search for logits through ``logit_bias`` keeps: words, intervals, and a growing matrix."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from strongroom.exposure.interface import Floats, Knowledge
from strongroom.exposure.reasons import refuse

LIFT = 60.0
REACH = 40.0
"""Logits are looked for within so much of the reference's; with LIFT the bias is 100 at most."""

_SPARE = 20
"""So many more prompts than tokens: of the two, fewer tokens suffice."""

_IN_TRUTH = 1.05
"""Over the hidden size: tokens whose rows of the final layer are claimed."""


@dataclass(frozen=True)
class Spoken:
    """Tokens that an answer names without doubt, in a random order, and what they read as."""

    reference: int
    tokens: tuple[int, ...]
    texts: Mapping[int, str]
    prompts: tuple[str, ...]


@dataclass
class Group:
    """A few tokens after one prompt: between what the logit of each less the reference's lies.

    ``row`` is where it goes.
    """

    prompt: str
    row: dict[int, float]
    tokens: tuple[int, ...]
    low: dict[int, float] = field(default_factory=dict)
    high: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.low = dict.fromkeys(self.tokens, -REACH)
        self.high = dict.fromkeys(self.tokens, REACH)

    def again(self) -> Group:
        """The same to be asked, and nothing of what was learnt."""
        return Group(self.prompt, {}, self.tokens)

    def wide(self, enough: float) -> list[int]:
        """Tokens whose interval is wider. What is known is not asked again: it would stand beside
        the reference, and hide from an answer of one token what the others do."""
        return [token for token in self.tokens if self.high[token] - self.low[token] > enough]

    def middles(self) -> dict[int, float]:
        """The middle of each."""
        return {token: (self.low[token] + self.high[token]) / 2 for token in self.tokens}

    def biases(self, enough: float) -> dict[int, float]:
        """By which a token stands beside the reference if its logit is in the middle."""
        middles = self.middles()
        return {token: LIFT - middles[token] for token in self.wide(enough)}

    def halve(self, words: Spoken, order: Sequence[str], enough: float) -> None:
        """What is listed before the reference is above it, and below it all else.

        Where the reference is not listed, nothing is known of what is not listed either.
        """
        reference = words.texts[words.reference]
        known = reference in order
        above = set(order[: order.index(reference)] if known else order)
        middles = self.middles()
        for token in self.wide(enough):
            middle = middles[token]
            if words.texts[token] in above:
                self.low[token] = middle
            elif known:
                self.high[token] = middle


def spoken(knowledge: Knowledge, seed: int) -> Spoken:
    """What can be asked about and with, in the order in which it is asked: the judge's, too.

    Raises:
        ExposureRefused: ``exposure.knowledge_lacking``.
    """
    tokenizer = knowledge.public.get("tokenizer")
    if tokenizer is None:
        raise refuse("exposure.knowledge_lacking", what="the model's tokenizer")
    texts = [tokenizer.decode([token]) for token in range(tokenizer.get_vocab_size())]
    often = Counter(texts)
    known = [
        token
        for token, text in enumerate(texts)
        if text.isascii() and text.isprintable() and text.strip() and often[text] == 1
    ]
    by = random.Random(seed)  # noqa: S311
    by.shuffle(known)
    prompts = tuple("".join(texts[token] for token in by.choices(known, k=3)) for _ in known)
    return Spoken(known[0], tuple(known[1:]), {token: texts[token] for token in known}, prompts)


def layer_tokens(hidden: int) -> int:
    """Of how many tokens the rows are claimed where the hidden size is ``hidden``."""
    return int(_IN_TRUTH * hidden)


def asked(prompts: int, each: int) -> int:
    """Queries for each of ``prompts``."""
    return max(1, (prompts - _SPARE) // each)


@dataclass
class Seen:
    """The logits so far; ``each`` tokens are asked about together."""

    words: Spoken
    each: int
    rows: list[dict[int, float]] = field(default_factory=list)
    columns: int = 0
    fresh: bool = True

    def widen(self, prompts: int) -> None:
        """For so many prompts."""
        self.columns = self.each * asked(prompts, self.each)
        self.rows += [{} for _ in range(prompts - len(self.rows))]

    def missing(self) -> Iterator[list[Group]]:
        """For each prompt what it lacks."""
        wanted = self.words.tokens[: self.columns]
        for prompt, row in zip(self.words.prompts, self.rows, strict=False):
            rest = wanted[len(row) :]
            parts = [rest[at : at + self.each] for at in range(0, len(rest), self.each)]
            yield [Group(prompt, row, part) for part in parts]

    def matrix(self) -> Floats:
        """Logits less the reference's, (prompts, tokens)."""
        return np.array([list(row.values()) for row in self.rows])
