"""The exposure ladder: what an outsider holds, from nothing to everything.

Rungs up to ``embeddings`` are answers to queries and each contains the ones below it. ``adapter``
and ``student`` are files that are handed out: who holds one holds nothing of the query rungs by
that alone. ``gradients`` contains the query rungs, ``weights`` contains all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Rung(StrEnum):
    """What an outsider holds. The values are those of a sealed disclosure policy, and four more."""

    CLOSED = "closed"
    LABEL = "label"
    TEXT = "text"
    TOP1 = "top1"
    TOPK = "topk"
    LOGITS = "logits"
    EMBEDDINGS = "embeddings"
    ADAPTER = "adapter"
    STUDENT = "student"
    GRADIENTS = "gradients"
    WEIGHTS = "weights"


LADDER: Final[tuple[Rung, ...]] = tuple(Rung)
"""All rungs, from least to most."""

SERVED: Final[tuple[Rung, ...]] = (
    Rung.LABEL,
    Rung.TEXT,
    Rung.TOP1,
    Rung.TOPK,
    Rung.LOGITS,
    Rung.EMBEDDINGS,
)
"""Rungs that are answers of the served door; its text answers end at ``topk``, and embeddings are
of language models alone."""

_QUERIES = (*LADDER[: LADDER.index(Rung.EMBEDDINGS) + 1],)


def within(rung: Rung) -> frozenset[Rung]:
    """The rungs whose exposure an attacker at ``rung`` has, its own among them.

    >>> sorted(within(Rung.LABEL))
    ['closed', 'label']
    """
    if rung is Rung.WEIGHTS:
        return frozenset(LADDER)
    if rung is Rung.GRADIENTS:
        return frozenset({*_QUERIES, rung})
    if rung in {Rung.ADAPTER, Rung.STUDENT}:
        return frozenset({Rung.CLOSED, rung})
    return frozenset(_QUERIES[: _QUERIES.index(rung) + 1])
