"""Draw tokens from logits.

Randomness is the operating system's, read anew for each draw: a caller can neither choose nor
predict it, and no generator's state can be recovered from the tokens of earlier answers.
"""

from __future__ import annotations

import os

import torch

_HEAD = 256
"""How many of the likeliest tokens are sorted before the whole vocabulary is."""


def uniform() -> float:
    """A number in [0, 1) from the operating system, 53 bits."""
    return (int.from_bytes(os.urandom(8), "little") >> 11) * 2.0**-53


def draw(logits: torch.Tensor, temperature: float, top_p: float, at: float) -> int:
    """The token at quantile ``at`` in [0, 1) of the tempered, truncated distribution.

    Keeps the fewest likeliest tokens whose probabilities reach ``top_p``; at least one.

    Shapes: ``logits`` float32 (vocab,); ``temperature`` > 0.
    """
    probabilities = torch.softmax(logits / temperature, -1)
    if top_p >= 1.0:
        return _quantile(probabilities, at)
    head = min(_HEAD, probabilities.numel())
    likeliest, ids = torch.topk(probabilities, head)
    reached = likeliest.cumsum(-1)
    if float(reached[-1]) < top_p and head < probabilities.numel():
        likeliest, ids = torch.sort(probabilities, descending=True)
        reached = likeliest.cumsum(-1)
    kept = int((reached < top_p).sum()) + 1
    return int(ids[_quantile(likeliest[:kept], at)])


def _quantile(weights: torch.Tensor, at: float) -> int:
    """Index at quantile ``at`` of non-negative ``weights`` that need not sum to one."""
    total = weights.cumsum(-1, dtype=torch.float64)
    index = int(torch.searchsorted(total, total[-1] * at, right=True))
    return min(index, weights.numel() - 1)


Setting = tuple[float, float, torch.Tensor | None]
"""Temperature, top_p, and the ids that may be drawn (int64; ``None``: all)."""


def choose(logits: torch.Tensor, settings: list[Setting]) -> list[int]:
    """One token for each row.

    Shapes: ``logits`` float32 (rows, vocab); ``settings`` one for each row. Temperature 0 takes
    the likeliest token, the lowest id among equals.
    """
    tokens: list[int] = logits.argmax(-1).tolist()
    for row, (temperature, top_p, allowed) in enumerate(settings):
        scores = logits[row] if allowed is None else logits[row][allowed]
        if temperature > 0:
            tokens[row] = draw(scores, temperature, top_p, uniform())
        elif allowed is not None:
            tokens[row] = int(scores.argmax())
        if allowed is not None:
            tokens[row] = int(allowed[tokens[row]])
    return tokens


def likeliest(logits: torch.Tensor, count: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The ``count`` likeliest tokens of one row and their natural log-probabilities.

    The distribution is the model's own: temperature and top_p do not enter.
    """
    scores, ids = torch.topk(torch.log_softmax(logits.float(), -1), count)
    return tuple(ids.tolist()), tuple(scores.tolist())
