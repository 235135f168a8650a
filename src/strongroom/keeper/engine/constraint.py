"""Hold an answer to a registered schema: which tokens may come next.

The automaton is over bytes and knows no tokenizer; all tokens are walked through it at once, one
byte of each a step. Those that end alive may be drawn; end tokens when the text is complete, and
only then; no other control token ever.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import torch

from strongroom.boundary.automaton import DEAD, END, START, Automaton
from strongroom.errors import ConfigurationRefused

_PLAIN: Final = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS: Final = (byte for byte in range(256) if byte not in _PLAIN)
_ALPHABET: Final = {chr(b): b for b in _PLAIN} | {chr(256 + i): b for i, b in enumerate(_OTHERS)}
"""Character to byte in vocabularies of byte-level tokenizers, as GPT-2 introduced them."""


class Vocabulary:
    """The bytes of a byte-level tokenizer's tokens, but added and empty ones.

    Args:
        tokenizer: a ``tokenizer.json``.
        size: how many ids the model knows.

    Raises:
        ConfigurationRefused: ``keeper.schema_unfit``: its tokens are no bytes.
    """

    def __init__(self, tokenizer: bytes, size: int) -> None:
        try:
            tree = msgspec.json.decode(tokenizer)
            if tree["decoder"]["type"] != "ByteLevel" or tree["model"]["type"] != "BPE":
                raise ValueError("another kind of tokenizer")
            added = {int(token["id"]) for token in tree.get("added_tokens") or ()}
            found = {
                int(token): bytes(_ALPHABET[character] for character in text)
                for text, token in tree["model"]["vocab"].items()
                if text and _ALPHABET.keys() >= set(text)
            }
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError):
            raise _unfit("its tokenizer does not spell bytes") from None
        self.bytes_of = {i: raw for i, raw in found.items() if i not in added and 0 <= i < size}
        ordered = sorted(self.bytes_of, key=lambda token: -len(self.bytes_of[token]))
        self.ids = np.array(ordered, np.int64)
        longest = len(self.bytes_of[ordered[0]]) if ordered else 0
        spelt = [self.bytes_of[token] for token in ordered]
        # byte i of each token that has one: they are in order of length, so these are the first
        self.columns = [
            np.array([raw[at] for raw in spelt if len(raw) > at], np.uint8) for at in range(longest)
        ]


class Constraint:
    """One schema over one vocabulary.

    Args:
        automaton: the schema.
        vocabulary: of the model's tokenizer.
        ends: the model's end tokens.

    Raises:
        ConfigurationRefused: ``keeper.schema_unfit``: an answer could come to a place from where no
            token leads on.
    """

    def __init__(self, automaton: Automaton, vocabulary: Vocabulary, ends: tuple[int, ...]) -> None:
        self._table = np.frombuffer(automaton.table, "<u2").astype(np.uint16)
        self._width = automaton.width
        self._classes = automaton.classes
        classes = np.frombuffer(self._classes, np.uint8)
        self._vocabulary = vocabulary
        self._columns = [classes[column] for column in vocabulary.columns]
        self._ends = torch.tensor(ends, dtype=torch.int64)
        single = [raw[0] for raw in vocabulary.bytes_of.values() if len(raw) == 1]
        rows = self._table.reshape(-1, self._width)
        on = np.any(rows[:, np.unique(classes[single])], axis=1)
        if not ends or not on[START] or not (on[END + 1 :]).all():
            raise _unfit("its vocabulary lacks bytes or an end that the schema needs")

    def allowed(self, state: int) -> torch.Tensor:
        """The ids (int64, ascending within a length) that may come next; never none."""
        if state == END:
            return self._ends
        at = np.full(len(self._vocabulary.ids), state, np.uint16)
        for column in self._columns:
            places = at[: len(column)].astype(np.int64) * self._width + column
            at[: len(column)] = self._table[places]
        return torch.from_numpy(self._vocabulary.ids[at != DEAD])

    def after(self, state: int, token: int) -> int:
        """The state behind an allowed token; that of the end behind an end token."""
        for byte in self._vocabulary.bytes_of.get(token, b""):
            state = int(self._table[state * self._width + self._classes[byte]])
        return state


def _unfit(why: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "keeper.schema_unfit",
        f"Schemas are registered, but this model cannot be held to them: {why}.",
        action="Remove them with `strongroom schema remove`, or serve another model.",
    )
