"""What a mark does to one answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["kgw", "synthid"]

CANDIDATES: Final = 64
"""How many of the likeliest tokens are marked at most."""

FLOOR: Final = 1e-3
"""Least probability of a candidate, as a share of the likeliest one's. What is below is drawn so
rarely that it adds nothing to find."""

Weights = NDArray[np.float32]
Ids = NDArray[np.int64]


class Mark(ABC):
    """The mark of one answer under way. ``reweigh`` before each token, ``follow`` after it."""

    @abstractmethod
    def reweigh(self, weights: Weights, ids: Ids) -> Weights:
        """New weights of the candidates ``ids``, whose weights are their probabilities."""

    @abstractmethod
    def follow(self, token: int) -> None:
        """``token`` was drawn."""
