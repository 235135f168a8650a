"""What an answer is charged in egress: an upper bound on the information it can carry. Pure.

Here, and not in the keeper, because both sides of the boundary must reckon alike: the keeper
charges what leaves, the gateway reserves the most that a request could be charged.

1. one position of generated text: log2(vocabulary). The end of text is one of these outcomes, so
   the end token is charged like any other although it is not sent;
2. how a generation ended (five reasons, and refusals that come late): log2(8), charged when it is
   admitted, so that it can always be said;
3. a label: log2(classes). A rounded score: log2(101). Any other score: 32 bits. An index of one of
   the likeliest: log2(vocabulary) or log2(classes);
4. a number of an embedding: log2(255).

Charges are integers in grains of 1/1024 bit, rounded up to the next grain, exactly (no float is
involved).
"""

from __future__ import annotations

from functools import cache

GRAINS_PER_BIT = 1024

SCORE = 32 * GRAINS_PER_BIT
"""Charge of one float32 score."""


@cache
def choice(outcomes: int) -> int:
    """Charge of one choice among ``outcomes``: log2, rounded up to a grain, exactly.

    The least g with 2^(g/1024) >= outcomes is the bit length of outcomes^1024 - 1.
    """
    return (int(outcomes**GRAINS_PER_BIT) - 1).bit_length() if outcomes > 1 else 0


ROUNDED_SCORE = choice(101)
"""Charge of a probability rounded to two decimals."""

EMBEDDED = choice(255)
"""Charge of one number of an embedding, -127 to 127."""

ENDING = choice(8)
"""Charge of how a generation ended."""


def token_charge(vocabulary: int, top: int = 0, *, rounded: bool = False) -> int:
    """Charge of one generated position with the log-probabilities of ``top`` likeliest tokens."""
    score = ROUNDED_SCORE if rounded else SCORE
    return choice(vocabulary) + top * (choice(vocabulary) + score)


def label_charge(
    classes: int, scores: int = 0, *, indexed: bool = False, rounded: bool = False
) -> int:
    """Charge of one classified row: its label and ``scores`` scores, with class indices or not."""
    score = ROUNDED_SCORE if rounded else SCORE
    return choice(classes) + scores * (score + (choice(classes) if indexed else 0))


def embedding_charge(texts: int, width: int) -> int:
    """Charge of the embeddings of so many texts."""
    return texts * width * EMBEDDED


def millibits(grains: int) -> int:
    """Grains in thousandths of a bit, rounded up."""
    return -(-grains * 1000 // GRAINS_PER_BIT)
