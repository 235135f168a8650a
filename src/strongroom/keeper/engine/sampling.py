"""Draw tokens from logits.

Randomness is the operating system's, read anew for each draw: a caller can neither choose nor
predict it, and no generator's state can be recovered from the tokens of earlier answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch

from strongroom.watermark.interface import CANDIDATES, FLOOR, Ids, Mark, Weights

_HEAD = 256
"""How many of the likeliest tokens are sorted before the whole vocabulary is."""


def uniform() -> float:
    """A number in [0, 1) from the operating system, 53 bits."""
    return (int.from_bytes(os.urandom(8), "little") >> 11) * 2.0**-53


Reweigh = Callable[[Weights, Ids], Weights]
"""What a mark makes of the weights of the likeliest tokens, given those and their ids."""


def draw(
    logits: torch.Tensor, temperature: float, top_p: float, at: float, mark: Reweigh | None = None
) -> int:
    """The token at quantile ``at`` in [0, 1) of the tempered, truncated, marked distribution.

    Keeps the fewest likeliest tokens whose probabilities reach ``top_p``; at least one.

    Shapes: ``logits`` float32 (vocab,); ``temperature`` > 0.
    """
    probabilities = torch.softmax(logits / temperature, -1)
    if top_p >= 1.0:
        if mark is not None:
            weights, named = _candidates(probabilities)
            probabilities.numpy()[named] = mark(weights, named)
        return _quantile(probabilities, at)
    head = min(_HEAD, probabilities.numel())
    likeliest, ids = torch.topk(probabilities, head)
    reached = likeliest.cumsum(-1)
    if float(reached[-1]) < top_p and head < probabilities.numel():
        likeliest, ids = torch.sort(probabilities, descending=True)
        reached = likeliest.cumsum(-1)
    kept = int((reached < top_p).sum()) + 1
    if mark is not None:
        first = min(kept, CANDIDATES)
        likeliest.numpy()[:first] = mark(likeliest[:first].numpy(), ids[:first].numpy())
    return int(ids[_quantile(likeliest[:kept], at)])


def _quantile(weights: torch.Tensor, at: float) -> int:
    """Index at quantile ``at`` of non-negative ``weights`` that need not sum to one."""
    total = weights.cumsum(-1, dtype=torch.float64)
    index = int(torch.searchsorted(total, total[-1] * at, right=True))
    return min(index, weights.numel() - 1)


Setting = tuple[float, float, torch.Tensor | None, Mark | None]
"""Temperature, top_p, the ids that may be drawn (int64; ``None``: all), and the answer's mark."""


def choose(logits: torch.Tensor, settings: list[Setting]) -> list[int]:
    """One token for each row.

    Shapes: ``logits`` float32 (rows, vocab); ``settings`` one for each row. Temperature 0 takes
    the likeliest token, the lowest id among equals; of a marked answer, the likeliest once marked.
    """
    tokens: list[int] = logits.argmax(-1).tolist()
    for row, (temperature, top_p, allowed, mark) in enumerate(settings):
        scores = logits[row] if allowed is None else logits[row][allowed]
        reweigh = None if mark is None else _reweigh(mark, allowed)
        if temperature > 0:
            tokens[row] = draw(scores, temperature, top_p, uniform(), reweigh)
        elif reweigh is not None:
            weights, ids = _candidates(torch.softmax(scores, -1))
            tokens[row] = int(ids[reweigh(weights, ids).argmax()])
        elif allowed is not None:
            tokens[row] = int(scores.argmax())
        if allowed is not None:
            tokens[row] = int(allowed[tokens[row]])
        if mark is not None:
            mark.follow(tokens[row])
    return tokens


def _candidates(probabilities: torch.Tensor) -> tuple[Weights, Ids]:
    """The likeliest tokens' probabilities and ids. Looking for those above the floor first is a
    fifth of the work of sorting out 64 of a whole vocabulary."""
    values: Weights = probabilities.numpy()
    ids: Ids = np.flatnonzero(values >= FLOOR * values.max())
    if len(ids) > CANDIDATES:
        ids = ids[np.argpartition(values[ids], -CANDIDATES)[-CANDIDATES:]]
    return values[ids], ids


def _reweigh(mark: Mark, allowed: torch.Tensor | None) -> Reweigh:
    """``mark``, for ids that count within ``allowed``."""
    if allowed is None:
        return mark.reweigh
    names = allowed.numpy()
    return lambda weights, ids: mark.reweigh(weights, names[ids])


def likeliest(logits: torch.Tensor, count: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The ``count`` likeliest tokens of one row and their natural log-probabilities.

    The distribution is the model's own: temperature and top_p do not enter.
    """
    scores, ids = torch.topk(torch.log_softmax(logits.float(), -1), count)
    return tuple(ids.tolist()), tuple(scores.tolist())
