"""The robust membership attack: does the record gain more than others from being in the model?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from strongroom.exposure.interface import Attack, Budget, Claim, Family, Knowledge, Knows, Scores
from strongroom.exposure.ladder import Rung

from .likelihood import rmia
from .references import references_for
from .view import observe, public


class Rmia(Attack):
    """Share of the population whose gain in probability over the references a record beats.

    Args:
        online: count the references that saw a record too.
        models: how many of the shared references to use; None: all.
        gamma: by which factor a record must beat another.
    """

    name = "membership-rmia"
    family = Family.MEMBERSHIP
    goal = "Tell members of the training set with few reference models"
    rungs = (Rung.TOP1, Rung.TOPK, Rung.LOGITS)
    knowledge = (Knows.RECIPE,)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.000", "OWASP-ML:ML04:2023")
    source = "Zarifzadeh et al., Low-cost high-power membership inference attacks, ICML 2024"
    cost = "one query a record; 8 reference models trained"

    def __init__(self, *, online: bool = True, models: int | None = 8, gamma: float = 1.0) -> None:
        self.online = online
        self.models = models
        self.gamma = gamma

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Score the records asked about."""
        asked = knowledge.asked
        inputs, labels = torch.from_numpy(asked.inputs), torch.from_numpy(asked.labels)
        references = references_for(knowledge, seed, self.models)
        seen, view = observe(target, asked.inputs, public(knowledge).classes)
        theirs = view.confidence(view.of(references.logits(inputs)), labels)
        scores = rmia(
            view.confidence(seen, labels).sigmoid(), theirs.sigmoid(), references.members,
            online=self.online, gamma=self.gamma,
        )  # fmt: skip
        return [Scores(target.spent().queries, scores.numpy())]
