"""How well a model predicts texts, whatever its tokens are, and how often two say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from strongroom.exposure.targets.in_process_language import LanguageModel


@dataclass(frozen=True)
class Reading:
    """What a model made of one text.

    ``nats``: the surprise of all ``tokens`` but the first, which are ``size`` bytes. ``following``:
    its likeliest next token as text, by where the token before it ends in characters.
    """

    nats: float
    tokens: int
    size: int
    following: dict[int, str]


@torch.no_grad()
def read(model: LanguageModel, texts: Sequence[str]) -> list[Reading]:
    """One reading a text, as far as the model's context goes; nothing is remembered."""
    return [_read(model, text) for text in texts]


def bits_a_byte(readings: Sequence[Reading]) -> float:
    """Mean surprise of a byte: lower is better, and models of different tokenizers can be compared.

    Raises:
        ValueError: no text has two tokens.
    """
    size = sum(each.size for each in readings)
    if not size:
        raise ValueError("no text has two tokens")
    return sum(each.nats for each in readings) / size / math.log(2)


def perplexity(readings: Sequence[Reading]) -> float:
    """Of a token; only models of one tokenizer can be compared.

    Raises:
        ValueError: no text has two tokens.
    """
    tokens = sum(each.tokens for each in readings)
    if not tokens:
        raise ValueError("no text has two tokens")
    return math.exp(sum(each.nats for each in readings) / tokens)


def agreement(student: Sequence[Reading], teacher: Sequence[Reading]) -> float:
    """Of the places where a token of both ends, the share at which both hold the same next token,
    by its text, for the likeliest.

    Raises:
        ValueError: there is no such place, or the readings are not of the same texts.
    """
    same = places = 0
    for one, other in zip(student, teacher, strict=True):
        both = one.following.keys() & other.following.keys()
        places += len(both)
        same += sum(one.following[place] == other.following[place] for place in both)
    if not places:
        raise ValueError("the two models' tokens nowhere end together")
    return same / places


def _read(model: LanguageModel, text: str) -> Reading:
    cut = model.tokenizer.encode(text, add_special_tokens=False)
    ids, offsets = cut.ids[: model.context_length], cut.offsets[: model.context_length]
    if not ids:
        return Reading(0.0, 0, 0, {})
    logits = model.module(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
    chosen = logits[:-1].log_softmax(1).gather(1, torch.tensor(ids[1:], dtype=torch.long)[:, None])
    said = [model.tokenizer.decode([token]) for token in logits.argmax(1).tolist()]
    ends = [end for _, end in offsets]
    size = len(text[ends[0] : ends[-1]].encode())
    following = dict(zip(ends, said, strict=True))
    return Reading(-float(chosen.double().sum()), len(ids) - 1, size, following)
