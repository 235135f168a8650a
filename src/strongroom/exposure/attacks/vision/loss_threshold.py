"""Membership by confidence alone: the baseline that needs no reference model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from strongroom.exposure.interface import Attack, Budget, Claim, Family, Knowledge, Knows, Scores
from strongroom.exposure.ladder import Rung

from .view import observe, public


class LossThreshold(Attack):
    """Score = log-odds of the right class; where only labels show, whether the label is right."""

    name = "membership-loss"
    family = Family.MEMBERSHIP
    goal = "Tell members of the training set by how well the model fits them"
    rungs = (Rung.LABEL, Rung.TOP1, Rung.TOPK, Rung.LOGITS)
    knowledge = (Knows.NOTHING, Knows.DATA, Knows.RECIPE)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.000", "OWASP-ML:ML04:2023")
    source = "Yeom et al., Privacy risk in machine learning, CSF 2018"
    cost = "one query a record"

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Score the records asked about."""
        asked = knowledge.asked
        seen, view = observe(target, asked.inputs, public(knowledge).classes)
        scores = view.confidence(seen, torch.from_numpy(asked.labels))
        return [Scores(target.spent().queries, scores.numpy())]
