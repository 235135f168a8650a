"""The likeliest tokens of one prompt under ever other biases, reckoned from its logits once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from strongroom.exposure.interface import Floats

MOST_BIASED = 300
"""Tokens that one bias may name, less what is listed; endpoints that document a limit have this."""


class Biased:
    """See the module.

    Args:
        logits: of the next token, (vocabulary,) float32; kept as they are.
    """

    def __init__(self, logits: Floats) -> None:
        self._logits = logits
        largest = float(logits.max())
        self._norm = largest + float(np.log(np.exp(logits - largest).sum(dtype=np.float64)))
        count = min(MOST_BIASED, len(logits))
        best = np.argpartition(-logits, count - 1)[:count]
        self._best: list[int] = best[np.argsort(-logits[best])].tolist()

    def top(self, bias: Mapping[int, float], top: int) -> list[tuple[int, float]]:
        """The likeliest ``top`` tokens and their log-probabilities after ``bias``, in that order.

        What is likeliest after it is biased itself, or among the likeliest that are not.
        """
        values = {token: float(self._logits[token]) + more for token, more in bias.items()}
        plain = [token for token in self._best if token not in bias][:top]
        values |= {token: float(self._logits[token]) for token in plain}
        found = sorted(values.items(), key=lambda item: -item[1])[:top]
        norm = self._norm_after(bias)
        return [(token, value - norm) for token, value in found]

    def _norm_after(self, bias: Mapping[int, float]) -> float:
        """The logarithm of the sum of exponentials, with what is biased moved."""
        plain = self._logits[list(bias)].astype(np.float64)
        moved = plain + np.array(list(bias.values()))
        largest = max(self._norm, float(moved.max(initial=self._norm)))
        total = np.exp(self._norm - largest) + np.sum(
            np.exp(moved - largest) - np.exp(plain - largest)
        )
        return largest + float(np.log(total))
