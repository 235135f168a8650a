"""The base weights from merged low-rank fine-tunes that were handed out (``low_rank``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from strongroom.exposure.attacks.language.low_rank import recover
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

SEPARATOR = "/"


class MergedAdapters(Attack):
    """Each weight of which three merges or more were handed out.

    The target's tensors are named ``RELEASE/NAME``: one name in several releases is one weight.
    """

    name = "merged-adapters"
    family = Family.BASE
    goal = "Recover the base model's weights from three merged fine-tunes."
    rungs = (Rung.ADAPTER,)
    knowledge = (Knows.NOTHING,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("causal-lm",)
    taxonomy = ("ATLAS:AML.T0024.002", "OWASP-LLM:LLM03:2025")
    source = "closed form of our own; the threat is Horwitz et al. 2024, arXiv 2402.10208"
    cost = "no query; some hundredths of a second a weight"

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Claims every recovered weight by name, (out, in)."""
        facts: dict[str, Any] = {}
        for name, merges in by_weight(target.adapter()).items():
            if len(merges) >= 3 and merges[0].ndim == 2:
                found = recover(merges, seed=seed)
                if found is not None:
                    facts[name] = found.base
        return [Facts(target.spent().queries, facts)]


def by_weight(tensors: Mapping[str, Any]) -> dict[str, list[Floats]]:
    """The merges of each weight, in the order of releases; other names are other attacks'."""
    found: dict[str, list[Floats]] = defaultdict(list)
    for name in sorted(tensors):
        _release, separator, weight = name.partition(SEPARATOR)
        if separator and SEPARATOR not in weight:
            found[weight].append(tensors[name].detach().float().numpy())
    return dict(found)
