"""KGW: a share of the vocabulary is green, anew after each token, and green is favoured.

The green list after a token is the first quarter of a permutation whose seed is the token times the
tenant's key; ``bias`` is added to the logits of green candidates. Marked text has more green tokens
than a quarter. Distorts: what is favoured is drawn more often than the model says.

Source: Kirchenbauer et al., A Watermark for Large Language Models (2023), as transformers'
``WatermarkLogitsProcessor`` does it with ``lefthash`` and a context of one token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from strongroom.watermark.interface import Ids, Mark, Weights
from strongroom.watermark.keys import expand

RATIO: Final = 0.25
BIAS: Final = 2.0


class Greens:
    """One tenant's green lists over a vocabulary."""

    def __init__(self, secret: bytes, tenant: str, vocabulary: int) -> None:
        self._key: int = 1 + int.from_bytes(expand(secret, "kgw", tenant, 7), "big")
        self._vocabulary = vocabulary

    def after(self, token: int, ids: Ids) -> NDArray[np.bool_]:
        """Which of ``ids`` are green after ``token``."""
        packed = _green_bits(self._key * token % (2**64 - 1), self._vocabulary)
        green: NDArray[np.bool_] = (packed[ids >> 3] >> (7 - (ids & 7)) & 1) == 1
        return green

    def settings(self) -> dict[str, Any]:
        """Arguments of transformers' ``WatermarkingConfig``. Secret."""
        return {"greenlist_ratio": RATIO, "bias": BIAS, "hashing_key": self._key}


class KgwMark(Mark):
    """See the module. ``last`` is the prompt's last token."""

    def __init__(self, greens: Greens, last: int) -> None:
        self._greens, self._last = greens, last

    def reweigh(self, weights: Weights, ids: Ids) -> Weights:
        """See ``Mark``."""
        green = self._greens.after(self._last, ids)
        return weights * np.where(green, np.float32(math.exp(BIAS)), np.float32(1))

    def follow(self, token: int) -> None:
        """See ``Mark``."""
        self._last = token


def count(greens: Greens, tokens: Sequence[int]) -> tuple[int, int]:
    """Green among the different pairs of neighbours, and how many there are."""
    pairs = set(pairwise(tokens))
    return sum(bool(greens.after(left, np.array([right]))[0]) for left, right in pairs), len(pairs)


@lru_cache(maxsize=4096)  # 25 MB for a vocabulary of 49,152; the permutation is what costs
def _green_bits(seed: int, vocabulary: int) -> NDArray[np.uint8]:
    order = torch.randperm(vocabulary, generator=torch.Generator().manual_seed(seed))
    green = np.zeros(vocabulary, dtype=np.bool_)
    green[order[: int(vocabulary * RATIO)].numpy()] = True
    return np.packbits(green)
