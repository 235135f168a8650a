"""The gradient oracle, run by who knows everything on the adapter that is about to leave.

After one plain step on one token, ``B = delta (A x)^T``: its right singular vector is the image
under A of the hidden activation x that entered the layer. An adapter of many steps over many
conversations should point at nobody's activation more than chance does. So, at every place:

1. the base is run on single tokens; x of each is mapped by the adapter's own A: y (tokens, rank);
2. both y and the right singular vectors of B are whitened by y's second moments, so that a common
   direction of all activations is worth no more than any other;
3. the best cosine between any singular vector and any token's y is what the oracle reads;
4. the same is done with 500 random bases in the place of the singular vectors; half the angle of
   the best of those is chance. What is nearer is told as a cosine from 0 (chance) to 1 (exact); but
   only from half that angle again on: data leave some order in every B.

An attacker who was given the exported factors has neither A nor x: he does worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from strongroom.exposure.attacks.language.gradient_oracle import directions
from strongroom.exposure.interface import Floats
from strongroom.exposure.measurement.direction import beyond_chance
from strongroom.keeper.engine.adapter import Adapter, Pair
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.tune.forward import Decoder

_ROWS: Final = 256

Seen = Callable[[Pair, Tensor], None]


@dataclass(frozen=True)
class Read:
    """What the oracle reads at one place: ``cosine`` beyond chance; None: it cannot be judged."""

    place: str
    token: int
    cosine: float | None


class _Tapped(Decoder):
    """The base alone; tells what enters every place that has a pair."""

    def __init__(self, config: LlamaConfig, tensors: Tensors, seen: Seen) -> None:
        super().__init__(config, tensors)
        self._seen = seen

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None, pair: Pair | None) -> Tensor:
        if pair is not None:
            self._seen(pair, x)
        return super()._linear(x, weight, bias, None)


def read(
    config: LlamaConfig, base: Tensors, adapter: Adapter, tokens: Sequence[int], seed: int = 0
) -> list[Read]:
    """Steps 1 to 4 at each place of ``adapter``.

    Args:
        tokens: ids that stand for those that an attacker may choose; more than twice the rank.
    """
    images = activations(config, base, adapter.pairs, tokens)
    by = np.random.default_rng(seed)
    found = []
    for place, (_, b) in adapter.pairs.items():
        at, cosine = beyond_chance(directions(b.double().numpy()), images[place], by)
        found.append(Read(place, tokens[at], cosine))
    return found


@torch.no_grad()
def activations(
    config: LlamaConfig, base: Tensors, pairs: Mapping[str, Pair], tokens: Sequence[int]
) -> dict[str, Floats]:
    """Step 1: for each place ``A x`` of every token, (tokens, rank) float64."""
    places = {id(pair): place for place, pair in pairs.items()}
    parts: dict[str, list[Tensor]] = {place: [] for place in pairs}

    def seen(pair: Pair, x: Tensor) -> None:
        parts[places[id(pair)]].append((x.float() @ pair[0].t()).double())

    decoder = _Tapped(config, base, seen)
    for at in range(0, len(tokens), _ROWS):
        decoder.hidden(torch.tensor(tokens[at : at + _ROWS])[:, None], pairs)
    return {place: torch.cat(rows).numpy() for place, rows in parts.items()}


def ratios(adapter: Adapter) -> list[float]:
    """At every place the second singular value of B over the first: 0 after a step on one token."""
    found = []
    for _, b in adapter.pairs.values():
        values = torch.linalg.svdvals(torch.linalg.qr(b.double())[1])
        found.append(float(values[1] / values[0]) if len(values) > 1 and values[0] > 0 else 0.0)
    return found
