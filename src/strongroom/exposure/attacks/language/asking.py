"""Asking language models: tokens of texts, batches of equal length, the public base asked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from strongroom.exposure.interface import Floats, Knowledge
from strongroom.exposure.reasons import refuse

BATCH = 16
_Answer = TypeVar("_Answer")


def ids_of(knowledge: Knowledge, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of each text, cut by the public tokenizer (``knowledge.public["tokenizer"]``).

    Raises:
        ExposureRefused: ``exposure.knowledge_lacking``; ``exposure.data_unfit`` for a text that is
            shorter than two tokens, of which nothing is predicted.
    """
    tokenizer = knowledge.public.get("tokenizer")
    if tokenizer is None:
        raise refuse("exposure.knowledge_lacking", what="the model's tokenizer")
    rows = [list(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    if not rows or min(map(len, rows)) < 2:
        raise refuse(
            "exposure.data_unfit", why="a text has fewer than two tokens, or there is none"
        )
    return rows


def batched(
    ask: Callable[[list[Sequence[int]]], Sequence[_Answer]], rows: Sequence[Sequence[int]]
) -> list[_Answer]:
    """``ask`` of all rows, like lengths together, answers in the order of ``rows``."""
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    found: dict[int, _Answer] = {}
    for at in range(0, len(order), BATCH):
        part = order[at : at + BATCH]
        found.update(zip(part, ask([rows[number] for number in part]), strict=True))
    return [found[number] for number in range(len(rows))]


class PublicBase:
    """The public base of a fine-tuned model, on the attacker's own machine: asked without limit.

    Args:
        module: a ``transformers`` causal model in eval mode.

    What was asked once is remembered: several attacks ask about the same texts.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._known: dict[tuple[int, ...], Floats] = {}

    def model(self) -> Any:
        """The module itself; it is nobody's secret."""
        return self._module

    def token_logprobs(self, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """Of each token but the first given those before, (length - 1,) a row."""
        new = list({tuple(row) for row in rows} - self._known.keys())
        self._known.update(zip(new, batched(self._ask, new), strict=True))
        return [self._known[tuple(row)] for row in rows]

    @torch.no_grad()
    def _ask(self, rows: list[Sequence[int]]) -> list[Floats]:
        longest = max(map(len, rows))
        padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        logits = self._module(input_ids=padded, use_cache=False).logits[:, :-1].float()
        chosen = logits.gather(2, padded[:, 1:, None])[..., 0] - logits.logsumexp(2)
        return [chosen[n, : len(row) - 1].numpy().copy() for n, row in enumerate(rows)]


def base_of(knowledge: Knowledge) -> PublicBase:
    """The public base.

    Raises:
        ExposureRefused: ``exposure.knowledge_lacking``.
    """
    if not isinstance(knowledge.base, PublicBase):
        raise refuse("exposure.knowledge_lacking", what="the public base of the model")
    return knowledge.base


def finite(scores: Sequence[float] | Floats) -> Floats:
    """As an array; what is not finite becomes the largest finite magnitude."""
    return np.nan_to_num(np.asarray(scores, dtype=np.float64))
