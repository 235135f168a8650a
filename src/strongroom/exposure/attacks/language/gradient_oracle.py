"""What an exported adapter says of what entered a layer of the base.

PEFT starts with B = 0. After one plain gradient step on a single token whose layer input is x, the
exported factor is ``B = -rate * scale * delta (A x)^T``, with delta the gradient at the layer's
output. B = 0 leaves the model as it was, so delta and x are the same in every job, whatever A was
drawn: the right singular vector of each B is A x, in one common scale, and the stacked A of enough
jobs solve for x. In the first layer x is the token's embedding after its norm: the base's embedding
table comes out row by row, up to a factor a row. Whatever else a job did, its first singular vector
is the attacker's best guess, and least squares makes the most of it: an adaptive optimiser's first
step keeps the signs of A x, which is most of it.
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


class GradientOracle(Attack):
    """Directions of what enters a layer, from adapters that were handed out.

    The target's tensors are named ``TOKEN/JOB/a`` (rank, in) and ``TOKEN/JOB/b`` (out, rank): jobs
    on the same chosen token, each with another A.
    """

    name = "gradient-oracle"
    family = Family.BASE
    goal = "Read the base's hidden activations from exported adapters"
    rungs = (Rung.ADAPTER,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-LLM:LLM03:2025", "CoSAI-RM:riskModelExfiltration")
    source = "own; the gradient is that of Hu et al. 2022, arXiv 2106.09685"
    cost = "a job of the owner's tuning for each guess; exact after (in + 4) / rank unguarded ones"

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims ``TOKEN`` (in,), of unit length, for each token that jobs were made on."""
        jobs: dict[str, list[tuple[Floats, Floats]]] = {}
        tensors: Mapping[str, Any] = target.adapter()
        for name in sorted(tensors):
            parts = name.split("/")
            if len(parts) == 3 and parts[2] == "a" and f"{name[:-1]}b" in tensors:
                pair = tuple(tensors[f"{name[:-1]}{part}"].double().numpy() for part in "ab")
                jobs.setdefault(parts[0], []).append((pair[0], pair[1]))
        facts = {token: layer_input(pairs) for token, pairs in jobs.items()}
        return [Facts(target.spent().queries, facts)]


def directions(b: Floats) -> Floats:
    """The right singular vectors of B (out, rank), as rows (rank, rank), the strongest first."""
    found: Floats = np.linalg.svd(np.linalg.qr(b)[1])[2]
    return found


def layer_input(jobs: Sequence[tuple[Floats, Floats]]) -> Floats:
    """The unit vector x (in,) that fits B ~ delta (A x)^T best over all ``jobs`` (A, B).

    Exact where the jobs were one plain step each and their A together have rank ``in``; the
    shortest of all that fit where they have less. Its sign is not determined.
    """
    left = np.linalg.svd(np.hstack([b for _, b in jobs]), full_matrices=False)[0][:, 0]
    drawn = np.vstack([a for a, _ in jobs])
    seen = np.concatenate([b.T @ left for _, b in jobs])
    x, *_ = np.linalg.lstsq(drawn, seen, rcond=None)
    found: Floats = x / max(float(np.linalg.norm(x)), 1e-300)
    return found
