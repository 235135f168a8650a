"""Honest users of a language model, each an endless stream of prompts.

Among them are those who look like extraction: one template for every document of a batch, short
labels to classify, code completion that sends a growing prefix, the same system prompt in many
organisations, and catalogues: product texts from a template with enumerated fields, which differ
from an attacker's grid in nothing but intent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from .corpus import Corpus, Ids

HEAD = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n<|im_start|>user\n"
)
_FRAMES = (
    "Can you explain", "What is", "I do not understand", "Give me an example of", "Why do we say",
    "Compare these:", "Please correct:", "How would you put", "Is it true that", "Continue:",
    "Tell me more about", "Who would say", "Write a short text about", "Where does this stem from:",
)  # fmt: skip


class Texts:
    """Pieces of the corpus, and the conversation's scaffolding."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.head = corpus.encode(HEAD)
        self.tail = corpus.encode("<|im_end|>\n<|im_start|>assistant\n")
        self.turn = corpus.encode("<|im_end|>\n<|im_start|>user\n")
        self.frames = [corpus.encode(frame) for frame in _FRAMES]
        self.public = [corpus.encode(text) for text in _public_prompts()]

    def span(self, source: Ids, least: int, most: int, by: random.Random) -> Ids:
        length = by.randint(least, most)
        start = by.randrange(len(source) - length)
        return source[start : start + length]

    def subjects(self, count: int, by: random.Random) -> list[Ids]:
        return by.sample(self.corpus.subjects, min(count, len(self.corpus.subjects)))

    def prompt(self, *parts: Ids) -> Ids:
        return [*self.head, *(token for part in parts for token in part), *self.tail]


Stream = Iterator[Ids]
Maker = Callable[[Texts, random.Random], Stream]


def chat(texts: Texts, by: random.Random, breadth: int = 3) -> Stream:
    """Conversations of one to six turns on a few subjects; each turn sends all before it."""
    subjects = texts.subjects(breadth, by)
    while True:
        subject = by.choice(subjects)
        so_far: Ids = []
        for _ in range(by.randint(1, 6)):
            so_far += by.choice(texts.frames) + texts.span(subject, 4, 25, by)
            yield texts.prompt(so_far)
            so_far += [*texts.tail, *texts.span(subject, 20, 80, by), *texts.turn]


def public_chat(texts: Texts, by: random.Random) -> Stream:
    """An application for everybody: conversations on every subject."""
    return chat(texts, by, breadth=60)


def retrieval(texts: Texts, by: random.Random) -> Stream:
    """A system prompt (often a framework's own, which others use too), passages, a question."""
    subject = texts.subjects(1, by)[0]
    own = texts.span(subject, 30, 90, by)
    system = by.choices(texts.public, weights=(8, 4, 2, 1, 1))[0] if by.random() < 0.5 else own
    passages = [texts.span(subject, 30, 60, by) for _ in range(by.randint(20, 80))]
    while True:
        chosen = [token for passage in by.sample(passages, 3) for token in passage]
        yield texts.prompt(system, chosen, by.choice(texts.frames), texts.span(subject, 4, 15, by))


def _batch(least: int, most: int) -> Maker:
    def stream(texts: Texts, by: random.Random) -> Stream:
        template = texts.span(texts.subjects(1, by)[0], 12, 50, by)
        while True:  # each document once
            subject = texts.subjects(1, by)[0]
            at = by.randrange(100)
            while at + most < len(subject):
                length = by.randint(least, most)
                yield texts.prompt(template, subject[at : at + length])
                at += length

    return stream


def completion(texts: Texts, by: random.Random) -> Stream:
    """An editor: the last 200 tokens before the cursor, which moves on by a few."""
    while True:
        source = by.choice(texts.corpus.code)
        at = by.randrange(100, len(source) - 400)
        for _ in range(by.randint(10, 40)):
            at += by.randint(1, 12)
            yield source[max(0, at - 200) : at]


def search(texts: Texts, by: random.Random) -> Stream:
    """A few words, as people type into a search field; some are typed often."""
    subject = texts.subjects(1, by)[0]
    favourites = [texts.span(subject, 2, 5, by) for _ in range(20)]
    while True:
        fresh = texts.span(subject, 2, 6, by)
        yield texts.prompt(by.choice(favourites) if by.random() < 0.3 else fresh)


def watched(texts: Texts, by: random.Random) -> Stream:
    """A conversation, and a health check between."""
    check = texts.prompt(texts.frames[0])
    for prompt in chat(texts, by):
        yield check
        yield prompt


def grid(texts: Texts, by: random.Random) -> Stream:
    """A template with three or four slots, each filled from a list of 8 to 20."""
    subjects = texts.subjects(4, by)
    lists = [
        [texts.span(subject, 1, 4, by) for _ in range(by.randint(8, 20))]
        for subject in subjects[: by.randint(3, 4)]
    ]
    fixed = [texts.span(subjects[0], 4, 12, by) for _ in lists]
    while True:
        parts: list[Ids] = []
        for before, fillers in zip(fixed, lists, strict=True):
            parts += [before, by.choice(fillers)]
        yield texts.prompt(*parts)


USERS: dict[str, tuple[float, Maker]] = {
    "chat": (0.28, chat),
    "public chat": (0.07, public_chat),
    "retrieval": (0.20, retrieval),
    "batch summarisation": (0.12, _batch(60, 220)),
    "batch classification": (0.12, _batch(6, 30)),
    "code completion": (0.08, completion),
    "search": (0.06, search),
    "health checks": (0.04, watched),
    "catalogue": (0.03, grid),
}
"""Share of organisations of each kind."""


def _public_prompts() -> tuple[str, ...]:
    return (
        "You are an assistant for question-answering tasks. Use the following pieces of retrieved "
        "context to answer the question. If you don't know the answer, say that you don't know. "
        "Use three sentences maximum and keep the answer concise.",
        "Answer the question based only on the following context. Cite the passage you used.",
        "You are a careful support agent. Be polite, be brief, and never promise a refund.",
        "Given the context information and not prior knowledge, answer the query. Context:",
        "Act as an expert. Think step by step, then give the final answer on a line of its own.",
    )
