"""Greedy coordinate gradient (Zou et al. 2023, arXiv 2307.15043), made cheap.

Each step:

1. the gradient of the loss says for each place which tokens promise most;
2. ``width`` single changes are drawn among the ``top`` of random places, and scored in groups that
   share what stands before their first change (``scene``);
3. the changes that helped, at different places, are tried together: the best 2, 4, 8;
4. the best of all that survives being written as text is kept, if it is better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from strongroom.exposure.attacks.language.scene import Scene
from strongroom.exposure.interface import Budget

_GROUP = 8
_TOGETHER = (2, 4, 8)


_RATE = 100
"""Tokens a second that any machine puts through the model for one goal, all work counted."""


def allowance(tokens: int, budget: Budget) -> int:
    """Tokens for one goal: ``tokens``, or fewer where the budget's time is short."""
    return min(tokens, int(_RATE * budget.seconds))


@dataclass(frozen=True)
class Step:
    """The state after a step: ``tokens`` through the model so far, the best suffix and its loss."""

    tokens: int
    loss: float
    suffix: tuple[int, ...]


def greedy_coordinate_gradient(
    scene: Scene, start: Tensor, allowed: Tensor, *, width: int, top: int, seed: int
) -> Iterator[Step]:
    """Steps without end from ``start`` (length,); ``allowed`` are the tokens that may be used."""
    by = torch.Generator().manual_seed(seed)
    suffix = start.clone()
    loss = float(scene.losses(suffix[None])[0])
    while True:
        yield Step(scene.tokens, loss, tuple(suffix.tolist()))
        _, slope = scene.gradient(suffix)
        best = allowed[(-slope[:, allowed]).topk(min(top, len(allowed))).indices]
        candidates, losses = _singles(scene, suffix, best, width, by)
        more = _together(suffix, candidates, losses, loss)
        if len(more):
            shared = _same(suffix, more)
            losses = torch.cat([losses, scene.losses(more, shared)])
            candidates = torch.cat([candidates, more])
        for number in losses.argsort().tolist():
            if losses[number] >= loss:
                break
            if scene.stands(candidates[number].tolist()):
                suffix, loss = candidates[number], float(losses[number])
                break


def _singles(
    scene: Scene, suffix: Tensor, best: Tensor, width: int, by: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``width`` candidates (width, length) with one change each, by place, and their losses."""
    places = torch.randint(len(suffix), (width,), generator=by).sort().values
    picks = torch.randint(best.shape[1], (width,), generator=by)
    candidates = suffix.repeat(width, 1)
    candidates[torch.arange(width), places] = best[places, picks]
    losses = [
        scene.losses(part, int(first))
        for part, first in zip(torch.split(candidates, _GROUP), places[::_GROUP], strict=True)
    ]
    return candidates, torch.cat(losses)


def _together(suffix: Tensor, candidates: Tensor, losses: Tensor, loss: float) -> Tensor:
    """The best changes at different places made at once: two, four, eight of them."""
    changes: dict[int, int] = {}
    for number in losses.argsort().tolist():
        if losses[number] >= loss:
            break
        for place in (candidates[number] != suffix).nonzero()[:, 0].tolist():
            changes.setdefault(place, int(candidates[number, place]))
    made = []
    for count in _TOGETHER:
        if len(changes) > count // 2:
            row = suffix.clone()
            for place, token in list(changes.items())[:count]:
                row[place] = token
            made.append(row)
    return torch.stack(made) if made else suffix[None][:0]


def _same(suffix: Tensor, rows: Tensor) -> int:
    """How many first tokens all ``rows`` have in common with ``suffix``."""
    return int((rows != suffix).any(0).nonzero()[0, 0])


def plain_tokens(tokenizer: Any) -> Tensor:
    """Tokens of printable ASCII that are no special ones."""
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items()}
    kept = []
    for number in range(tokenizer.get_vocab_size()):
        text = tokenizer.decode([number])
        if number not in special and text and text.isascii() and text.isprintable():
            kept.append(number)
    return torch.tensor(kept)
