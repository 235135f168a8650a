"""The student's training: rows of text, and what the teacher told of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from strongroom.distil.language.answers import Answered
from strongroom.distil.language.plan import LanguagePlan
from strongroom.exposure.attacks.language.lora import rate_share

Progress = Callable[[int, int, float], None]
"""Called with steps done, steps in all, and the loss of late, nats a token."""

_BETAS, _DECAY, _CLIP = (0.9, 0.95), 0.1, 1.0
_SMOOTH = 0.9


@dataclass(frozen=True)
class Lessons:
    """``rows`` (n, length + 1) int64; ``told`` is of the first ``asked`` of them."""

    rows: Tensor
    told: Answered | None = None
    asked: int = 0


def train(module: Any, lessons: Lessons, plan: LanguagePlan, tell: Progress | None = None) -> Any:
    """``module`` (a transformers causal model) after the plan's steps, in eval mode.

    The rate rises over a twentieth of the
    steps and falls along a cosine to a tenth.
    """
    told = plan.schedule
    module.train().requires_grad_(True)
    matrices = [each for each in module.parameters() if each.ndim > 1]
    gains = [each for each in module.parameters() if each.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": _DECAY}, {"params": gains, "weight_decay": 0.0}],
        lr=told.rate,
        betas=_BETAS,
    )
    late = math.nan
    batches = _batches(lessons, told.batch, plan.seed)
    for step in range(told.steps):
        for group in optimiser.param_groups:
            group["lr"] = told.rate * rate_share(step, told.steps)
        loss = _loss(module, lessons, next(batches), plan)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
        optimiser.step()
        now = float(loss.detach())
        late = now if math.isnan(late) else _SMOOTH * late + (1 - _SMOOTH) * now
        if tell is not None:
            tell(step + 1, told.steps, late)
    return module.eval().requires_grad_(False)


def _batches(lessons: Lessons, size: int, seed: int) -> Iterator[Tensor]:
    """Half of a batch are rows that the teacher answered, where it answered some and not all."""
    chance = torch.Generator().manual_seed(seed)
    count, asked = len(lessons.rows), lessons.asked
    if not 0 < asked < count:
        yield from _drawn(torch.arange(count), size, chance)
    halves = (torch.arange(asked), size - size // 2), (torch.arange(asked, count), size // 2)
    for parts in zip(*(_drawn(rows, each, chance) for rows, each in halves), strict=True):
        yield torch.cat(parts)


def _drawn(rows: Tensor, size: int, chance: torch.Generator) -> Iterator[Tensor]:
    """``size`` of ``rows`` at a time, without end, in a new order each time round."""
    rest = rows[:0]
    while True:
        while len(rest) < size:
            rest = torch.cat([rest, rows[torch.randperm(len(rows), generator=chance)]])
        yield rest[:size]
        rest = rest[size:]


def _loss(module: Any, lessons: Lessons, batch: Tensor, plan: LanguagePlan) -> Tensor:
    """Mean over positions; of those that the teacher answered, ``share`` is what it said."""
    batch = batch.sort().values  # those with answers first
    rows = lessons.rows[batch]
    logits = module(input_ids=rows[:, :-1], use_cache=False).logits.float()
    text = functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    answered = int((batch < lessons.asked).sum())
    if lessons.told is None or not answered:
        return text.mean()
    share = plan.schedule.share
    weight = torch.ones(len(rows), 1)
    weight[:answered] = 1 - share
    own = (text.view(len(rows), -1) * weight).sum()
    theirs = _taught(logits[:answered], lessons.told, batch[:answered], plan.temperature)
    return (own + share * theirs.sum()) / text.numel()


def _taught(logits: Tensor, told: Answered, rows: Tensor, temperature: float) -> Tensor:
    """Cross-entropy (rows, length) of what the teacher said of them."""
    if told.scores is None and told.tokens is not None:
        labels = told.tokens[rows, :, 0].long()
        return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    if told.scores is None:
        raise ValueError("the teacher told neither tokens nor scores")
    scores = told.scores[rows].float()
    if told.tokens is not None:
        chosen = logits.log_softmax(-1).gather(-1, told.tokens[rows].long())
        return -(scores.softmax(-1) * chosen).sum(-1)
    soft = (logits / temperature).log_softmax(-1)
    return -((scores / temperature).softmax(-1) * soft).sum(-1) * temperature**2
