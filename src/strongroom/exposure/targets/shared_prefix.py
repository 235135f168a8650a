"""Hidden states of rows that begin alike: what they share goes through the model once.

Attacks ask for many endings of one beginning: digits after a prefix, suffixes after a question. The
keys and values of the last beginning are kept, so that the next question costs only what is new.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

_LEAST = 4
"""Tokens in common from which on sharing is worth its copies."""


class SharedPrefix:
    """Forward passes of one transformers causal model in eval mode."""

    def __init__(self) -> None:
        self._tokens: tuple[int, ...] = ()
        self._states = torch.empty(0)
        self._cache: Any = None

    def states(self, module: Any, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Of each row its final hidden states (length, width)."""
        common = _alike(rows[0], *rows[1:])
        if len(rows) > 1:
            common = min(common, *(len(row) - 1 for row in rows))
        if common < _LEAST:
            return _plain(module, rows, None)
        first = self._begun(module, tuple(rows[0][:common]))
        if len(rows) == 1:
            return [first.clone()]
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(len(rows))
        rest = _plain(module, [row[common:] for row in rows], cache)
        return [torch.cat([first, states]) for states in rest]

    def _begun(self, module: Any, tokens: tuple[int, ...]) -> torch.Tensor:
        """The states of a beginning, which is kept in place of the one before."""
        kept = min(_alike(tokens, self._tokens), len(tokens) - 1)
        if not kept:
            self._cache = None
        elif kept < len(self._tokens):
            self._cache.crop(kept - len(self._tokens))  # negative: so many from the end
        fed = torch.tensor([tokens[kept:]])
        said = module.base_model(input_ids=fed, past_key_values=self._cache, use_cache=True)
        fresh = said.last_hidden_state[0]
        self._states = torch.cat([self._states[:kept], fresh]) if kept else fresh
        self._tokens, self._cache = tokens, said.past_key_values
        return self._states


def _plain(module: Any, rows: Sequence[Sequence[int]], cache: Any) -> list[torch.Tensor]:
    """Padded on the right: what follows a causal row's end does not reach back into it."""
    padded = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = torch.tensor(row)
    said = module.base_model(
        input_ids=padded, past_key_values=cache, use_cache=cache is not None
    ).last_hidden_state
    return [said[number, : len(row)].clone() for number, row in enumerate(rows)]


def _alike(first: Sequence[int], *others: Sequence[int]) -> int:
    """How many first tokens all have in common."""
    count = 0
    for column in zip(first, *others, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count
