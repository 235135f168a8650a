"""Whether a text carries a tenant's mark: z, and the chance of such a z without one.

- KGW: green pairs among all different ones; exact binomial tail.
- SynthID: mean coin, early rounds weighing more (they separate best), against fair coins; normal.

The chance is over the tenant's key, which is drawn at random, for any text written without it. It
holds for one text and one tenant: who tries many must correct for it (``strongest`` does).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.watermark import kgw, synthid
from strongroom.watermark.interface import Scheme


@dataclass(frozen=True, slots=True)
class Finding:
    """``scored`` are the pairs, or tokens, that could be looked at; ``p`` is one-sided."""

    tenant: str
    scheme: Scheme
    scored: int
    z: float
    p: float


def detect(
    secret: bytes, tenant: str, scheme: Scheme, tokens: Sequence[int], vocabulary: int
) -> Finding:
    """Look for one tenant's mark in ``tokens``, the answer's ids without its prompt.

    Raises:
        ConfigurationRefused: ``watermark.secret_malformed``.
    """
    if scheme == "kgw":
        green, pairs = kgw.count(kgw.Greens(secret, tenant, vocabulary), tokens)
        spread = math.sqrt(max(pairs, 1) * kgw.RATIO * (1 - kgw.RATIO))
        z = (green - pairs * kgw.RATIO) / spread
        return Finding(tenant, scheme, pairs, z, _binomial_tail(green, pairs, kgw.RATIO))
    coins = synthid.coins_of(synthid.Coins(secret, tenant), tokens)
    if not len(coins):
        return Finding(tenant, scheme, 0, 0.0, 1.0)
    weights = np.linspace(10, 1, synthid.DEPTH)
    lead = float(((coins.mean(axis=0) - 0.5) * weights).sum())
    z = lead / math.sqrt(float((weights**2).sum()) / (4 * len(coins)))
    return Finding(tenant, scheme, len(coins), z, 0.5 * math.erfc(z / math.sqrt(2)))


def strongest(findings: Iterable[Finding]) -> Finding:
    """The tenant whose mark is clearest, its ``p`` corrected for how many were tried."""
    tried = list(findings)
    best = min(tried, key=lambda each: each.p)
    corrected = min(1.0, best.p * len(tried))
    return Finding(best.tenant, best.scheme, best.scored, best.z, corrected)


def _binomial_tail(hits: int, trials: int, chance: float) -> float:
    """P(X >= hits)."""
    if hits <= 0:
        return 1.0
    log = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(chance)
        + (trials - k) * math.log1p(-chance)
        for k in range(hits, trials + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, log)))
