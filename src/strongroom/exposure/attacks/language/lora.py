"""Low-rank adapters (Hu et al. 2022, arXiv 2106.09685) on a Llama's upper layers, cheaply.

Only the upper layers learn, so what the lower ones say about a row never changes: it is computed
once. An epoch costs the upper layers and the head alone, and the head only where a token counts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

PLACES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)

_TOGETHER = 16
"""Rows that go through the frozen layers at once."""


class LowRank(nn.Module):
    """``base(x) + x A^T B^T``: A (rank, in) drawn as PEFT draws it, B (out, rank) zero."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Of (..., in), (..., out)."""
        found: Tensor = self.base(x) + (x @ self.a.t()) @ self.b.t()
        return found


@dataclass(frozen=True)
class Lesson:
    """A row of tokens, learnt from position ``start`` on, ``repeats`` times an epoch.

    ``shares``: for each token from ``start`` on, tokens that it could have been and how likely each
    was, where that is known; they are learnt in its place.
    """

    ids: tuple[int, ...]
    start: int = 1
    repeats: int = 1
    shares: tuple[tuple[tuple[int, float], ...], ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How to train. ``layers`` counts from the top."""

    layers: int = 8
    rank: int = 16
    epochs: int = 3
    rate: float = 3e-3
    batch: int = 8


def fine_tune(
    module: Any, rows: Sequence[Lesson], recipe: Recipe, seed: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Train ``module`` (a transformers Llama, float32) in place, merged; gives the adapters.

    Returns:
        For each weight's name, (A, B): the weight has become ``W + B A``.
    """
    torch.manual_seed(seed)
    module.requires_grad_(False)
    layers = module.model.layers[-recipe.layers :]
    kept = _lower(module, rows, recipe.layers)
    adapters = _adapt(layers, recipe.rank)
    parameters = [p for each in adapters.values() for p in (each.a, each.b)]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=0.0)
    batches = [
        b for epoch in range(recipe.epochs) for b in _batches(rows, recipe.batch, seed + epoch)
    ]
    for number, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * rate_share(number, len(batches))
        loss = _loss(module, layers, [rows[i] for i in batch], [kept[i] for i in batch])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
    return _merge(module, layers, adapters)


@torch.no_grad()
def _lower(module: Any, rows: Sequence[Lesson], upper: int) -> list[Tensor]:
    """What the frozen layers make of each row, (length, hidden); like lengths together."""
    order = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
    kept: dict[int, Tensor] = {}
    for at in range(0, len(order), _TOGETHER):
        part = order[at : at + _TOGETHER]
        ids = [torch.tensor(rows[number].ids) for number in part]
        hidden = module.model.embed_tokens(nn.utils.rnn.pad_sequence(ids, batch_first=True))
        hidden = _through(module, module.model.layers[:-upper], hidden)
        kept |= {n: hidden[i, : len(rows[n].ids)].clone() for i, n in enumerate(part)}
    return [kept[number] for number in range(len(rows))]


def _through(module: Any, layers: Any, hidden: Tensor) -> Tensor:
    """``hidden`` (rows, length, width), padded on the right, after causal ``layers``."""
    position = module.model.rotary_emb(hidden, torch.arange(hidden.shape[1])[None])
    for layer in layers:
        hidden = layer(hidden, attention_mask=None, position_embeddings=position)
    return hidden


def _adapt(layers: Any, rank: int) -> dict[tuple[int, str], LowRank]:
    made = {}
    for number, layer in enumerate(layers):
        for place in PLACES:
            adapted = LowRank(layer.get_submodule(place), rank)
            layer.set_submodule(place, adapted)
            made[number, place] = adapted
    return made


def _loss(module: Any, layers: Any, rows: Sequence[Lesson], kept: Sequence[Tensor]) -> Tensor:
    """Mean cross-entropy of the tokens that count; the head sees no others."""
    hidden = nn.utils.rnn.pad_sequence(list(kept), batch_first=True)
    hidden = _through(module, layers, hidden)
    places = [(n, at) for n, row in enumerate(rows) for at in range(row.start, len(row.ids))]
    number, at = torch.tensor(places).unbind(1)
    logits = module.lm_head(module.model.norm(hidden[number, at - 1]))
    return expected_loss(logits, [share for row in rows for share in shares_of(row)])


def shares_of(row: Lesson) -> Sequence[Sequence[tuple[int, float]]]:
    """What is learnt at each place from ``row.start`` on: tokens and how likely each was."""
    return row.shares or [[(token, 1.0)] for token in row.ids[row.start :]]


def expected_loss(logits: Tensor, shares: Sequence[Sequence[tuple[int, float]]]) -> Tensor:
    """Mean over places of the cross-entropy of ``logits`` (places, vocabulary) against shares."""
    flat = [(place, *pair) for place, pairs in enumerate(shares) for pair in pairs]
    places, tokens, weights = zip(*flat, strict=True)
    chosen = logits.log_softmax(1)[torch.tensor(places), torch.tensor(tokens)]
    return -(chosen * torch.tensor(weights)).sum() / len(shares)


def _batches(rows: Sequence[Lesson], size: int, seed: int) -> Iterator[list[int]]:
    """An epoch: rows of like length together, the batches in random order."""
    by = random.Random(seed)  # noqa: S311
    order = [number for number, row in enumerate(rows) for _ in range(row.repeats)]
    by.shuffle(order)
    order.sort(key=lambda number: len(rows[number].ids) // 8)
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    by.shuffle(batches)
    yield from batches


def rate_share(number: int, total: int) -> float:
    """Of the rate at a step: linear rise over a twentieth, then a cosine down to a tenth."""
    rise = max(1, total // 20)
    if number < rise:
        return (number + 1) / rise
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (number - rise) / max(1, total - rise)))


@torch.no_grad()
def _merge(
    module: Any, layers: Any, adapters: dict[tuple[int, str], LowRank]
) -> dict[str, tuple[Tensor, Tensor]]:
    first = len(module.model.layers) - len(layers)
    found = {}
    for (number, place), adapted in adapters.items():
        adapted.base.weight += adapted.b @ adapted.a
        layers[number].set_submodule(place, adapted.base)
        name = f"model.layers.{first + number}.{place}.weight"
        found[name] = (adapted.a.detach().clone(), adapted.b.detach().clone())
    return found
