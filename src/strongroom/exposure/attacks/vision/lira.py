"""The likelihood-ratio attack: how unusual is this confidence for a model that saw the record?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from strongroom.exposure.interface import Attack, Budget, Claim, Family, Knowledge, Knows, Scores
from strongroom.exposure.ladder import Rung

from .likelihood import lira_offline, lira_online
from .references import references_for
from .view import observe, public


class Lira(Attack):
    """Log-odds under the target, against two normals fitted to the reference models' log-odds.

    Args:
        online: fit the models that saw a record too (they were trained after it was known).
        models: how many of the shared references to use; None: all.
    """

    name = "membership-lira"
    family = Family.MEMBERSHIP
    goal = "Tell members of the training set by likelihood ratio against reference models"
    rungs = (Rung.TOP1, Rung.TOPK, Rung.LOGITS)
    knowledge = (Knows.RECIPE,)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.000", "OWASP-ML:ML04:2023")
    source = "Carlini et al., Membership inference attacks from first principles, S&P 2022"
    cost = "one query a record; 16 to 64 reference models trained"

    def __init__(self, *, online: bool = True, models: int | None = None) -> None:
        self.online = online
        self.models = models

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Score the records asked about."""
        asked = knowledge.asked
        inputs, labels = torch.from_numpy(asked.inputs), torch.from_numpy(asked.labels)
        references = references_for(knowledge, seed, self.models)
        seen, view = observe(target, asked.inputs, public(knowledge).classes)
        theirs = view.confidence(view.of(references.logits(inputs)), labels)
        score = lira_online if self.online else lira_offline
        scores = score(view.confidence(seen, labels), theirs, references.members)
        return [Scores(target.spent().queries, scores.numpy())]
