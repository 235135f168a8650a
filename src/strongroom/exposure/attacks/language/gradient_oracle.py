"""What an exported adapter says of the base after one step on data of the tenant's choice.

PEFT starts with B = 0. After one plain gradient step on a single token whose layer input is x, the
exported factor is ``B = -rate * scale * delta (A x)^T``, with delta the gradient at the layer's
output. B = 0 leaves the model as it was, so delta and x are the same in every job, whatever A was
drawn: the right singular vector of each B is A x, in one common scale, and the stacked A of enough
jobs solve for x. In the first layer x is the token's embedding after its norm: the base's embedding
table comes out row by row, up to a factor a row. An adaptive optimiser's first step keeps only the
signs of B, which still tell A x up to signs and not its size: nothing is claimed then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Facts,
    Family,
    Floats,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung

_RANK_ONE = 1e-3
_SPARE = 4


class GradientOracle(Attack):
    """Directions of what enters a layer, from adapters exported after one step.

    The target's tensors are named ``TOKEN/JOB/a`` (rank, in) and ``TOKEN/JOB/b`` (out, rank): jobs
    on the same single token, each with another A.
    """

    name = "gradient-oracle"
    family = Family.BASE
    goal = "Read the base's embeddings from adapters exported after one training step."
    rungs = (Rung.ADAPTER,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-LLM:LLM03:2025")
    source = "own; the gradient is that of Hu et al. 2022, arXiv 2106.09685"
    cost = "(in + 4) / rank jobs a token"

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims ``input/TOKEN`` (in,), of unit length, for each token that the jobs determine."""
        jobs: dict[str, list[tuple[Floats, Floats]]] = {}
        tensors: Mapping[str, Any] = target.adapter()
        for name in sorted(tensors):
            parts = name.split("/")
            if len(parts) == 3 and parts[2] == "a" and f"{name[:-1]}b" in tensors:
                pair = tuple(tensors[f"{name[:-1]}{part}"].double().numpy() for part in "ab")
                jobs.setdefault(parts[0], []).append((pair[0], pair[1]))
        facts: dict[str, Any] = {}
        for token, pairs in jobs.items():
            found = layer_input(pairs)
            if found is not None:
                facts[f"input/{token}"] = found
        return [Facts(target.spent().queries, facts)]


def layer_input(jobs: Sequence[tuple[Floats, Floats]]) -> Floats | None:
    """The unit vector x (in,) with B ~ delta (A x)^T for all ``jobs`` (A, B); None if not so.

    Its sign is not determined: the entry of largest size comes out positive.
    """
    left, values, _ = np.linalg.svd(np.hstack([b for _, b in jobs]), full_matrices=False)
    if not values[0] or (len(values) > 1 and values[1] > _RANK_ONE * values[0]):
        return None
    drawn = np.vstack([a for a, _ in jobs])
    if len(drawn) < drawn.shape[1] + _SPARE:
        return None
    seen = np.concatenate([b.T @ left[:, 0] for _, b in jobs])
    x, *_ = np.linalg.lstsq(drawn, seen, rcond=None)
    if np.linalg.norm(drawn @ x - seen) > _RANK_ONE * np.linalg.norm(seen):
        return None
    x = x / np.linalg.norm(x)
    found: Floats = x * np.sign(x[np.abs(x).argmax()])
    return found
