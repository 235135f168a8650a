"""Radioactivity: has a model learnt from texts that carry one tenant's mark?

A student of marked texts favours, a little, what the mark favoured. Its own predictions show it, on
texts that carry no mark:

1. The probe is unmarked text. ``contexts`` are its most frequent tokens to predict after,
   ``tokens`` the most frequent to predict; neither depends on a key or on a model.
2. Of each model a ``Reading`` takes its next-token probabilities: averaged over all places with one
   context (KGW), or of the first place of each context only (SynthID). So each pair of context and
   token counts once, and not as often as it comes: the de-duplication without which a few common
   pairs decide. An average counts as the root of its places: what they tell, and no more.
3. The shift is the suspect's reading less the mean of the controls': models trained in the same way
   on texts without the mark. What every such model does is in both and falls out.
4. The score adds the shift up with the key's greens or coins as signs.
5. The same shift is scored under keys that marked nothing, drawn as the tenant's was: for SynthID
   new ones; for KGW the tenant's own lists, each dealt to another context. A suspect that never met
   the key cannot tell it from those, whatever it and the controls are like: the rank of the true
   score among them is an exact p, by symmetry, and needs no model of language or of chance.
6. Both ends are looked at: a score far below them says that a control met the key.

Source: Sander et al., Watermarking Makes Language Models Radioactive (2024), open model; the null
over keys in place of their binomial.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.watermark.interface import Ids, Scheme, Weights
from strongroom.watermark.kgw import RATIO, Greens
from strongroom.watermark.synthid import DEPTH, NGRAM, TABLE, Coins, hash_of, places_of

CONTEXTS: Final = 1024
TOKENS: Final = 4096
WRONG_KEYS: Final = 9_999
LEVEL: Final = 1e-3

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Probe:
    """Unmarked text: ``rows`` (rows, length), ``contexts`` and ``tokens`` as rule 1 says."""

    rows: Ids
    contexts: Ids
    tokens: Ids


def probe(ids: Sequence[int], length: int = 128) -> Probe:
    """Cut ``ids`` into rows of ``length``; what is left over is dropped.

    The token 0 is no context: KGW multiplies it by the key, so its list is everybody's.
    """
    whole = len(ids) // length * length
    rows = np.array(ids[:whole], dtype=np.int64).reshape(-1, length)
    counts = np.bincount(rows.ravel(), minlength=1)
    order = np.argsort(-counts, kind="stable")
    seen = order[counts[order] > 0]
    return Probe(rows, seen[seen != 0][:CONTEXTS], seen[:TOKENS])


class Reading(ABC):
    """What one model predicts on a probe, gathered batch by batch (rule 2)."""

    @abstractmethod
    def add(self, rows: Ids, chances: Weights) -> None:
        """``chances`` (rows, length - 1, tokens): of each of the probe's tokens, after each place
        of ``rows`` (rows, length) but the last."""

    @abstractmethod
    def value(self) -> Values:
        """The same shape for every model read on one probe in one order."""


class KgwReading(Reading):
    """Mean by context, times the root of its places: (contexts, tokens)."""

    def __init__(self, probe: Probe) -> None:
        self._place = np.full(int(probe.rows.max()) + 1, -1)
        self._place[probe.contexts] = np.arange(len(probe.contexts))
        self._sums = np.zeros((len(probe.contexts), len(probe.tokens)))
        self._counts = np.zeros(len(probe.contexts))

    def add(self, rows: Ids, chances: Weights) -> None:
        """See ``Reading``."""
        places = self._place[rows[:, :-1].ravel()]
        kept = places >= 0
        told = chances.reshape(-1, chances.shape[-1])[kept]
        order = np.argsort(places[kept], kind="stable")
        found, starts, counts = np.unique(
            places[kept][order], return_index=True, return_counts=True
        )
        self._sums[found] += np.add.reduceat(told[order], starts)
        self._counts[found] += counts

    def value(self) -> Values:
        """See ``Reading``."""
        return self._sums / np.sqrt(np.maximum(self._counts, 1))[:, None]


class SynthidReading(Reading):
    """Sum by place in the table of coins: (65,536,), each context of four tokens once."""

    def __init__(self, probe: Probe) -> None:
        self._tokens = probe.tokens
        self._seen: set[int] = set()
        self._sums = np.zeros(TABLE)

    def add(self, rows: Ids, chances: Weights) -> None:
        """See ``Reading``."""
        for row, told in zip(rows.tolist(), chances, strict=True):
            for at in range(NGRAM - 1, len(row)):
                context = hash_of(row[at - NGRAM + 1 : at])
                if context not in self._seen:
                    self._seen.add(context)
                    places = places_of(context, self._tokens)
                    self._sums += np.bincount(places, told[at - 1], TABLE)

    def value(self) -> Values:
        """See ``Reading``."""
        return self._sums


def reading(scheme: Scheme, probe: Probe) -> Reading:
    """An empty one."""
    return KgwReading(probe) if scheme == "kgw" else SynthidReading(probe)


@dataclass(frozen=True, slots=True)
class Radioactivity:
    """``z``: the score in spreads of ``wrong`` scores under other keys, from their mean. ``p``:
    the share of keys, the true one among them, that score as much. ``p_below``: that score as
    little."""

    scheme: Scheme
    z: float
    p: float
    p_below: float
    wrong: int

    @property
    def found(self) -> bool:
        """Whether the suspect is radioactive at ``LEVEL``."""
        return self.p < LEVEL


def judge(
    scheme: Scheme,
    probe: Probe,
    suspect: Values,
    controls: Sequence[Values],
    secret: bytes,
    tenant: str,
    vocabulary: int,
    *,
    seed: int = 0,
    wrong: int = WRONG_KEYS,
) -> Radioactivity:
    """Rules 3 to 6.

    Args:
        scheme: of the mark.
        probe: what the models were read on.
        suspect: its reading's ``value``.
        controls: theirs; none leaves the suspect's own habits in, which costs power and no truth.
        secret: the owner's.
        tenant: whose key.
        vocabulary: number of tokens of the marked model.
        seed: of the other keys.
        wrong: how many there are.

    Raises:
        ConfigurationRefused: ``watermark.secret_malformed``.
    """
    shift = suspect - np.mean(controls, axis=0) if len(controls) else suspect
    chance = np.random.default_rng(seed)
    if scheme == "kgw":
        greens = Greens(secret, tenant, vocabulary)
        true, others = _by_lists(shift, probe, greens, chance, wrong)
    else:
        true, others = _by_coins(shift, Coins(secret, tenant), chance, wrong)
    spread = float(others.std()) or 1.0
    return Radioactivity(
        scheme,
        (true - float(others.mean())) / spread,
        float(1 + (others >= true).sum()) / (1 + wrong),
        float(1 + (others <= true).sum()) / (1 + wrong),
        wrong,
    )


def _by_lists(
    shift: Values, probe: Probe, greens: Greens, chance: np.random.Generator, wrong: int
) -> tuple[float, Values]:
    """The score with each context's own list, and with the lists dealt anew ``wrong`` times."""
    lists = np.array([greens.after(int(context), probe.tokens) for context in probe.contexts])
    table = shift @ (lists - RATIO).T  # of each context's shifts under each context's list
    own = np.arange(len(table))
    others = [float(table[own, chance.permutation(own)].sum()) for _ in range(wrong)]
    return float(np.trace(table)), np.array(others)


def _by_coins(
    shift: Values, coins: Coins, chance: np.random.Generator, wrong: int
) -> tuple[float, Values]:
    """A round's key only turns the table of coins, so one correlation scores them all."""
    table = coins.at(np.arange(TABLE, dtype=np.uint32)) - 0.5
    turned = np.fft.irfft(np.fft.rfft(table) * np.conj(np.fft.rfft(shift)), TABLE)
    rounds = np.linspace(10, 1, DEPTH)  # as in ``detect``: early ones tell most
    keys = chance.integers(0, TABLE, (wrong, DEPTH))
    return float(turned[coins.turns] @ rounds), turned[keys] @ rounds
