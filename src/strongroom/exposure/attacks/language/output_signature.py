"""Which public model is behind the door? One answer with all logits tells.

A model's logits lie in the column space of its final layer, and no other model's do: an image that
fine-tuning with adapters leaves untouched. So a public base is recognised from a single answer, and
from the next answer outside that space on it is known that the final layer was changed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from strongroom.exposure.attacks.language.asking import base_of
from strongroom.exposure.attacks.language.final_layer import head_of, sampled_tokens
from strongroom.exposure.attacks.language.spectrum import outside
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Facts,
    Family,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung


class OutputSignature(Attack):
    """Whether the target's answers lie in the public base's output space.

    Args:
        queries: answers to look at.
        limit: share of an answer's norm outside the space up to which it is the same space:
            rounding to bfloat16 leaves 0.002, another model's space about 1.
    """

    name = "output-signature"
    family = Family.REVERSE
    goal = "Recognise the public model behind a door, and whether its final layer was changed."
    rungs = (Rung.LOGITS,)
    knowledge = (Knows.BASE,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0014", "OWASP-LLM:LLM10:2025")
    source = "Finlayson et al. 2024, arXiv 2403.09539"
    cost = "one query; four to be sure"

    def __init__(self, queries: int = 4, limit: float = 0.01) -> None:
        self.queries = queries
        self.limit = limit

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims ``final_layer_of_base`` (bool) and ``outside`` (the largest share outside)."""
        module = base_of(knowledge).model()
        vocabulary = int(module.config.vocab_size)
        by = random.Random(seed)  # noqa: S311
        prompts = [[by.randrange(vocabulary)] for _ in range(self.queries)]
        said = target.next_logits(prompts)
        if said.shape[1] != vocabulary:
            facts: dict[str, Any] = {"final_layer_of_base": False, "outside": 1.0}
            return [Facts(target.spent().queries, facts)]
        tokens = sampled_tokens(vocabulary, 4 * int(module.config.hidden_size), seed)
        basis, _ = np.linalg.qr(head_of(module, tokens).astype(np.float64))
        rest = float(outside(said[:, tokens], basis).max())
        facts = {"final_layer_of_base": rest <= self.limit, "outside": rest}
        return [Facts(target.spent().queries, facts)]
