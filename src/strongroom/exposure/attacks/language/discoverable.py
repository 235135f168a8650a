"""(n, p)-discoverable extraction: would n sampled tries repeat the text with probability p?

The probability that one try at temperature 1 says the suffix is the product of its tokens'
probabilities, so one query replaces any number of tries: z tries succeed with 1 - (1 - q)^z. An
attacker without the suffix would spend the tries; this is the auditor's exact figure for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from strongroom.exposure.attacks.language.asking import batched, ids_of
from strongroom.exposure.attacks.language.questions import Continuation
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Texts,
)
from strongroom.exposure.ladder import Rung


class Discoverable(Attack):
    """The suffix is claimed for each prompt where ``tries`` tries say it with ``chance`` at least.

    Args:
        tries: the numbers of tries, one claim each.
        chance: p.
    """

    name = "discoverable-extraction"
    family = Family.EXTRACTION
    goal = "Count the training texts that many sampled tries would repeat."
    rungs = (Rung.LOGITS,)
    knowledge = (Knows.DATA,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0057", "OWASP-LLM:LLM02:2025")
    source = "Hayes et al. 2024, arXiv 2410.19482"
    cost = "one query a text"

    def __init__(self, tries: tuple[int, ...] = (1, 100, 10_000), chance: float = 0.5) -> None:
        self.tries = tries
        self.chance = chance

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Judge every ``Continuation`` asked about; ``queries`` of a claim are its tries."""
        asked: list[Continuation] = list(knowledge.asked)
        rows = ids_of(knowledge, [each.prefix + each.suffix for each in asked])
        starts = [len(row) for row in ids_of(knowledge, [each.prefix for each in asked])]
        said = batched(target.token_logprobs, rows)
        logs = [float(each[at - 1 :].sum()) for each, at in zip(said, starts, strict=True)]
        return [
            Texts(
                tries * len(asked),
                tuple(
                    (each.suffix,) if succeeds(log, tries) >= self.chance else ()
                    for each, log in zip(asked, logs, strict=True)
                ),
            )
            for tries in self.tries
        ]


def succeeds(log: float, tries: int) -> float:
    """1 - (1 - e^log)^tries, without losing small probabilities."""
    if log >= 0.0:
        return 1.0
    return -math.expm1(tries * math.log1p(-math.exp(log)))
