"""The student's tokens: of its own, or those of the teacher's that its corpus needs.

A reduced tokenizer keeps the single bytes, the end token, and the corpus's commonest tokens with
every merge that leads to them. What it makes of a text the teacher can read token by token, so that
the teacher's answers fit the student's positions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from strongroom.distil.reasons import refuse
from strongroom.exposure.interface import Integers

END = "<|end|>"
_SPACE = "\u0120"
"""A space, as byte-level tokenizers write it."""


@dataclass(frozen=True)
class Vocabulary:
    """``tokenizer``: a ``tokenizers`` one of ``size`` tokens; ``end``: the token after each text.

    ``kept``: of each token the teacher's number, (size,); None where it is of its own.
    """

    tokenizer: Tokenizer
    end: int
    kept: Integers | None

    @property
    def size(self) -> int:
        """Tokens in all."""
        return int(self.tokenizer.get_vocab_size())

    def rows(self, texts: Iterable[str], length: int) -> Integers:
        """``texts`` behind one another, each with its end, as rows (n, length)."""
        ids: list[int] = []
        for text in texts:
            ids += [*self.tokenizer.encode(text, add_special_tokens=False).ids, self.end]
        count = len(ids) // length
        return np.array(ids[: count * length], dtype=np.int64).reshape(count, length)


def own(texts: Sequence[str], size: int) -> Vocabulary:
    """Byte pairs of ``texts``, digits one by one, ``size`` tokens at most."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Vocabulary(tokenizer, 0, None)  # special tokens come first


def reduced(teacher: Tokenizer, ends: Sequence[int], texts: Sequence[str], size: int) -> Vocabulary:
    """Some of the tokens of ``teacher``, commonest in ``texts`` first, ``size`` at most.

    Args:
        teacher: byte-level, of byte pairs.
        ends: its end tokens; the first one ends the student's texts.
        texts: the corpus.
        size: more than there are bytes.

    Raises:
        ExposureRefused: ``distil.plan_unfit``: it is of another kind, or has no end token.
    """
    told: dict[str, Any] = json.loads(teacher.to_str())
    model = told["model"]
    if model["type"] != "BPE" or not ends:
        raise refuse("distil.plan_unfit", why="the teacher's tokenizer is not of byte pairs")
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(teacher.encode(text, add_special_tokens=False).ids)
    end = str(teacher.id_to_token(ends[0]))
    merges = [_pair(merge) for merge in model["merges"]]
    chosen = _chosen(model["vocab"], merges, end, counts, size)
    number = {token: at for at, token in enumerate(chosen)}
    model["vocab"] = number
    model["merges"] = [list(pair) for pair in merges if {*pair, "".join(pair)} <= number.keys()]
    told["added_tokens"] = [
        each | {"id": number[end]} for each in told["added_tokens"] if each["content"] == end
    ]
    told["post_processor"] = None  # it may name tokens that are gone
    kept = np.array([teacher.token_to_id(token) for token in chosen], dtype=np.int64)
    return Vocabulary(Tokenizer.from_str(json.dumps(told)), number[end], kept)


def _chosen(
    vocabulary: dict[str, int],
    merges: Sequence[tuple[str, str]],
    end: str,
    counts: Counter[int],
    size: int,
) -> list[str]:
    """Tokens in the teacher's order, with all that they are merged from."""
    sources: dict[str, set[str]] = {}
    for pair in merges:
        sources.setdefault("".join(pair), set()).update(pair)
    alphabet = [char for char in pre_tokenizers.ByteLevel.alphabet() if char in vocabulary]
    if _SPACE not in alphabet:
        raise refuse("distil.plan_unfit", why="the teacher's tokenizer is not byte-level")
    found = {end, *alphabet}
    names = {number: token for token, number in vocabulary.items()}
    for token, _ in counts.most_common():
        if token not in names:  # an added one
            continue
        needed = _closure(names[token], sources, found)
        if len(found) + len(needed) <= size:
            found |= needed
    return sorted(found, key=lambda token: vocabulary.get(token, -1))


def _closure(token: str, sources: dict[str, set[str]], known: set[str]) -> set[str]:
    """``token`` and what it is merged from, without what is ``known``."""
    wanted, found = [token], set()
    while wanted:
        each = wanted.pop()
        if each not in known and each not in found:
            found.add(each)
            wanted += sources.get(each, ())
    return found


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second
