"""The gradient of a private step: DP-SGD.

1. Each conversation's gradient, of its mean loss over its learnt tokens, is cut to length ``clip``.
   One that is not finite counts as nothing: it could have any length.
2. They are added up, and Gaussian noise is added to every number of the sum.
3. The sum is divided by the conversations that a step takes on average, not by those that it took,
   which nobody may know.

Noise comes from the job's secret seed through SHAKE-256, a label for each step: who goes back to an
older checkpoint gets the same noise again, and cannot average it out.

Source: Abadi et al. 2016, arXiv 1607.00133.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from strongroom.tune.adapter import Seed
from strongroom.tune.dataset import Example
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.optimiser import Flat

_AT_ONCE: Final = 2**20
"""Numbers that are drawn at once."""


def clipped_sum(decoder: Decoder, flat: Flat, examples: Sequence[Example], clip: float) -> Tensor:
    """Step 1: the sum, float32 of the length of ``flat.grads``, which are zero before and after.

    One conversation at a time: its gradient then lies alone in ``flat.grads``, whatever the
    layers did.
    """
    total = torch.zeros_like(flat.grads)
    for example in examples:
        loss = decoder.loss(rows_of([(example.ids, example.learnt)]), flat.pairs)
        (loss / example.supervised).backward()  # type: ignore[no-untyped-call]
        length = float(torch.linalg.vector_norm(flat.grads, dtype=torch.float64))
        if length < float("inf"):  # neither infinite nor not a number
            total.add_(flat.grads, alpha=min(1.0, clip / max(length, 1e-12)))
        flat.grads.zero_()
    return total


def add_noise(total: Tensor, seed: Seed, label: str, deviation: float) -> None:
    """Step 2, in place."""
    for at in range(0, len(total), _AT_ONCE):
        piece = total[at : at + _AT_ONCE]
        drawn = torch.from_numpy(seed.normal(f"{label} from {at}", len(piece)))
        piece.add_(drawn, alpha=deviation)
