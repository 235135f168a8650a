"""Recovery of the base from all that one organisation was given, and the adapter that is pending.

What leaves is ``B A`` and never a merge. Were something among it a merge all the same (an adapter
can be made to carry a part of its weight), these attacks would show it: at each place

1. any one of them, and their mean, is compared with the base's weight as it is;
2. three or more go through the closed form (``low_rank``) and through Spectral DeTuning.

The figure is the largest cosine with the true weight, less what chance gives for its size: the
share of three standard deviations of a random matrix's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from strongroom.exposure.attacks.language.low_rank import recover
from strongroom.exposure.attacks.language.spectral_detuning import detune
from strongroom.exposure.interface import Floats

_STEPS: Final = 40
_NOTHING: Final = 1e-9
"""A claim of so small a share of the truth's norm is rounding."""

_DEVIATIONS: Final = 3.0


def recovered(
    given: Mapping[str, Sequence[Floats]], truth: Mapping[str, Floats], rank: int, seed: int = 0
) -> dict[str, float]:
    """Steps 1 and 2: at each place of ``given`` the largest cosine with ``truth``, beyond chance.

    Args:
        given: by place, what was handed out and is to be, each (out, in).
        truth: the base's weights.
        rank: the largest rank among the adapters.
    """
    found = {}
    for place, matrices in given.items():
        claims = [*matrices, sum(matrices, np.zeros_like(matrices[0])) / len(matrices)]
        if len(matrices) >= 3:  # (2)
            closed = recover(matrices, seed=seed)
            if closed is not None:
                claims.append(closed.base)
            claims.append(detune(matrices, rank, steps=_STEPS, seed=seed))
        found[place] = max(cosine(claim, truth[place]) for claim in claims)
    return found


def cosine(claim: Floats, truth: Floats) -> float:
    """The absolute cosine of two matrices as vectors, less chance; 0 for a claim of nothing."""
    one, other = (np.asarray(each, dtype=np.float64).ravel() for each in (claim, truth))
    size, length = float(np.linalg.norm(other)), float(np.linalg.norm(one))
    if not np.isfinite(length):
        return 1.0  # what cannot be judged does not pass
    if length <= _NOTHING * size:
        return 0.0
    squared = (float(one @ other) / (length * size)) ** 2 - _DEVIATIONS**2 / one.size
    return min(1.0, float(np.sqrt(max(0.0, squared))))
