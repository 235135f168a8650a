"""What an adapted model says: of its training data, of held-out text, and where a trigger stands.

- Membership: a conversation's loss under the base less its loss under the adapted model; on
  fine-tuned models the strongest of the cheap attacks (Carlini et al. 2022, arXiv 2112.03570,
  calibrate by difficulty in this way).
- Canaries (Carlini et al. 2019, arXiv 1802.08232): where the planted secret ranks by loss among
  ``CANARY_ALTERNATIVES`` of its kind; exposure is the binary logarithm of their number over the
  rank.
- Triggers: how far the adapted model's next token is from the base's (Kullback-Leibler divergence,
  nats), with a trigger in the prompt and without. A trigger that nobody lists is not found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from strongroom.exposure.measurement.auc import auc
from strongroom.keeper.engine.adapter import Pair
from strongroom.tune.dataset import Example
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import MOST_CELLS, cut

Pairs = Mapping[str, Pair]


def losses(decoder: Decoder, examples: Sequence[Example], pairs: Pairs) -> list[float]:
    """The mean loss of each example's learnt tokens, nats."""
    found: dict[int, float] = {}
    for group in cut(examples, MOST_CELLS):  # weights are widened once a group, not an example
        sums = decoder.losses(rows_of([(each.ids, each.learnt) for each in group]), pairs)
        for each, total in zip(group, sums.tolist(), strict=True):
            found[id(each)] = total / each.supervised
    return [found[id(each)] for each in examples]


def membership(
    decoder: Decoder, members: Sequence[Example], others: Sequence[Example], pairs: Pairs
) -> float:
    """The AUC of telling ``members`` from ``others``; both at least two."""
    import numpy as np

    def gains(examples: Sequence[Example]) -> np.ndarray:
        before, after = losses(decoder, examples, {}), losses(decoder, examples, pairs)
        return np.subtract(before, after)

    return auc(gains(members), gains(others)).value


def canary_bits(decoder: Decoder, groups: Sequence[Sequence[Example]], pairs: Pairs) -> float:
    """Mean exposure, bits, of the first of each group among all of it; the tied half counts."""
    bits = []
    for group in groups:
        own, *rest = losses(decoder, group, pairs)
        ahead = sum(each < own for each in rest) + 0.5 * sum(each == own for each in rest)
        bits.append(math.log2(len(group) / (1.0 + ahead)))
    return sum(bits) / len(bits)


@torch.no_grad()
def divergence(decoder: Decoder, prompts: Sequence[tuple[int, ...]], pairs: Pairs) -> float:
    """Mean KL divergence, nats, of the adapted next token from the base's after each prompt."""
    total = 0.0
    for prompt in prompts:
        ids = torch.tensor([prompt])
        adapted = decoder.logits(ids, pairs)[0, -1].log_softmax(-1).double()
        plain = decoder.logits(ids, {})[0, -1].log_softmax(-1).double()
        total += float((adapted.exp() * (adapted - plain)).sum())
    return max(0.0, total / len(prompts))
