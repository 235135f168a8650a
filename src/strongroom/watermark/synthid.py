"""SynthID-Text: candidates meet in a tournament of 30 rounds, each judged by a keyed coin.

In a round every candidate has a 0 or a 1, by a hash of the last four tokens, itself and the round's
key; a 1 wins over a 0. Averaged over keys, each token keeps the model's own probability, so one
answer alone is not distorted. Where the same four tokens come again the tournament is left out.
The candidates' share of the whole distribution stays what it was.

The 0s and 1s come from a table of 65,536, as in transformers, of which only the order is keyed:
whoever can ask much can learn to forge or to wash it. It is a mark, not a seal.

Source: Dathathri et al., Scalable watermarking for identifying large language model outputs
(Nature 2024); hashes as in transformers' ``SynthIDTextWatermarkLogitsProcessor``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from strongroom.watermark.interface import Ids, Mark, Weights
from strongroom.watermark.keys import expand

DEPTH: Final = 30
NGRAM: Final = 5
HISTORY: Final = 1024
TABLE: Final = 2**16
_TABLE_SEED: Final = 0
_MULTIPLIER: Final = 6364136223846793005
_LOW_MULTIPLIER: Final = np.uint32(_MULTIPLIER % TABLE)
"""A place in the table is the last 16 bits of a hash, which follow from those of all its terms."""
_WORD: Final = 2**64 - 1


class Coins:
    """One tenant's coins."""

    def __init__(self, secret: bytes, tenant: str) -> None:
        raw = expand(secret, "synthid", tenant, 4 * DEPTH)
        self._keys = np.frombuffer(raw, dtype=">u4").astype(np.uint64)
        self.turns: NDArray[np.uint32] = (self._keys % np.uint64(TABLE)).astype(np.uint32)
        chance = torch.Generator().manual_seed(_TABLE_SEED)
        self._table = torch.randint(0, 2, (TABLE,), generator=chance).numpy().astype(np.uint8)

    def of(self, context: int, tokens: Ids) -> NDArray[np.float32]:
        """0 or 1 of each token in each round: (rounds, tokens)."""
        places = places_of(context, tokens).astype(np.uint32)
        return self.at(places[None, :] + self.turns[:, None])

    def at(self, places: NDArray[np.uint32]) -> NDArray[np.float32]:
        """0 or 1 at each place; in a round, ``places_of`` plus its turn, which is all that the key
        does there."""
        entries = places * _LOW_MULTIPLIER + np.uint32(1)
        return self._table.take(entries.astype(np.uint16)).astype(np.float32)

    def settings(self) -> dict[str, Any]:
        """Arguments of transformers' ``SynthIDTextWatermarkingConfig``. Secret."""
        return {
            "keys": [int(key) for key in self._keys],
            "ngram_len": NGRAM,
            "context_history_size": HISTORY,
            "sampling_table_seed": _TABLE_SEED,
            "sampling_table_size": TABLE,
        }


class SynthidMark(Mark):
    """See the module."""

    def __init__(self, coins: Coins) -> None:
        self._coins = coins
        self._recent: deque[int] = deque([0] * (NGRAM - 1), maxlen=NGRAM - 1)
        self._seen: deque[int] = deque(maxlen=HISTORY)
        self._context = hash_of(self._recent)

    def reweigh(self, weights: Weights, ids: Ids) -> Weights:
        """See ``Mark``."""
        if len(ids) == 1 or self._context in self._seen:
            return weights
        share = weights.sum()
        chances = weights / share
        factors = np.empty_like(chances)
        for coin in self._coins.of(self._context, ids):
            np.add(coin, 1.0 - float(coin @ chances), out=factors)
            np.multiply(chances, factors, out=chances)
        marked: Weights = chances * share
        return marked

    def follow(self, token: int) -> None:
        """See ``Mark``."""
        self._seen.append(self._context)
        self._recent.append(token)
        self._context = hash_of(self._recent)


def hash_of(tokens: Sequence[int] | deque[int]) -> int:
    """A context's hash."""
    value = 1
    for token in tokens:
        value = ((value + token) * _MULTIPLIER + 1) & _WORD
    return value


def places_of(context: int, tokens: Ids) -> NDArray[np.uint16]:
    """Where the coins of each token after ``context`` begin, before a key turns the table."""
    return _mixed(np.uint64(context) + tokens.astype(np.uint64)).astype(np.uint16)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return values * np.uint64(_MULTIPLIER) + np.uint64(1)  # modulo 2^64


def coins_of(coins: Coins, tokens: Sequence[int]) -> NDArray[np.float32]:
    """The coins of every token whose four predecessors are there and new: (tokens, rounds)."""
    seen: deque[int] = deque(maxlen=HISTORY)
    rows = []
    for at in range(NGRAM - 1, len(tokens)):
        context = hash_of(tokens[at - NGRAM + 1 : at])
        if context not in seen:
            rows.append(coins.of(context, np.array([tokens[at]]))[:, 0])
        seen.append(context)
    return np.array(rows, dtype=np.float32).reshape(-1, DEPTH)
