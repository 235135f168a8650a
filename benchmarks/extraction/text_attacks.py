"""What those send who copy a language model, each an endless stream of prompts."""

from __future__ import annotations

import random

from .text_users import Maker, Stream, Texts, grid

ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n"
)
"""The prompt of Stanford Alpaca (Taori et al. 2023), which copies of it have used since."""


def self_instruct(texts: Texts, by: random.Random) -> Stream:
    """Instructions on every subject there is, in Alpaca's wrapper (Wang et al. 2023)."""
    wrapper = texts.corpus.encode(ALPACA)
    for parts in _instructions(texts, by):
        yield texts.prompt(wrapper, parts)


def self_instruct_bare(texts: Texts, by: random.Random) -> Stream:
    """The same without a wrapper: as near to honest traffic as an attacker gets cheaply."""
    for parts in _instructions(texts, by):
        yield texts.prompt(parts)


def _instructions(texts: Texts, by: random.Random) -> Stream:
    while True:
        subject = by.choice(texts.corpus.subjects)
        yield by.choice(texts.frames) + texts.span(subject, 5, 30, by)


def next_token_sweep(texts: Texts, by: random.Random) -> Stream:
    """One prefix with every token of the vocabulary after it: a secret, or the last layer."""
    prefix = texts.span(by.choice(texts.corpus.subjects), 8, 40, by)
    while True:
        for token in by.sample(range(texts.corpus.vocabulary), 2000):
            yield texts.prompt(prefix, [token])


def growing_prefix(texts: Texts, by: random.Random) -> Stream:
    """Every beginning of a passage, a token longer each time: teacher forcing through an API."""
    while True:
        passage = texts.span(by.choice(texts.corpus.subjects), 60, 120, by)
        for end in range(4, len(passage)):
            yield passage[:end]


def openings(texts: Texts, by: random.Random) -> Stream:
    """Eight to sixteen tokens of any text, to be continued: extraction of training data."""
    while True:
        yield texts.span(by.choice(texts.corpus.subjects), 8, 16, by)


def random_tokens(texts: Texts, by: random.Random) -> Stream:
    """Token ids drawn evenly."""
    while True:
        length = by.randint(8, 64)
        yield texts.prompt([by.randrange(texts.corpus.vocabulary) for _ in range(length)])


ATTACKS: dict[str, Maker] = {
    "grid": grid,
    "self-instruct": self_instruct,
    "self-instruct, bare": self_instruct_bare,
    "next-token sweep": next_token_sweep,
    "growing prefix": growing_prefix,
    "openings": openings,
    "random tokens": random_tokens,
}
