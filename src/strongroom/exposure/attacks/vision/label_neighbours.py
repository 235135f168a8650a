"""Membership from labels alone: how firmly the model holds its label in the record's
neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Floats,
    Knowledge,
    Knows,
    Scores,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse, stops

from .likelihood import lira_online
from .references import references_for
from .view import public


class LabelNeighbours(Attack):
    """LiRA on the share of noisy copies that keep the right label.

    Args:
        neighbours: noisy copies of each record, at most; as many as the budget allows.
        noise: standard deviation, as a share of the input range.
    """

    name = "membership-label"
    family = Family.MEMBERSHIP
    goal = "Tell members of the training set from labels of noisy copies"
    rungs = (Rung.LABEL,)
    knowledge = (Knows.RECIPE,)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.000", "OWASP-ML:ML04:2023")
    source = "Choquette-Choo et al., Label-only membership inference attacks, ICML 2021"
    cost = "ten queries a record; the shared reference models"

    def __init__(self, *, neighbours: int = 9, noise: float = 0.1) -> None:
        self.neighbours = neighbours
        self.noise = noise

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Score the records asked about; one claim for none, and one for all neighbours."""
        asked, known = knowledge.asked, public(knowledge)
        copies = min(self.neighbours + 1, budget.queries // max(1, len(asked)))
        if copies < 1:
            raise refuse(
                "exposure.knowledge_lacking", what="a budget of one query a record at least"
            )
        references = references_for(knowledge, seed, None)
        labels = torch.from_numpy(asked.labels)
        by = np.random.default_rng(seed)
        right = torch.zeros(len(asked))
        theirs = torch.zeros(len(references.networks), len(asked))
        claims = []

        def claim(done: int) -> None:
            ours, others = _log_odds(right, done), _log_odds(theirs, done)
            scores = lira_online(ours, others, references.members)
            claims.append(Scores(target.spent().queries, scores.numpy()))

        for copy in range(copies):
            inputs = self._noisy(asked.inputs, known.bounds, by) if copy else asked.inputs
            try:
                answers = target.labels(inputs)
            except ExposureRefused as error:
                if copy == 0 or not stops(error):
                    raise
                copies = copy
                break
            right += torch.from_numpy(answers) == labels
            theirs += references.logits(torch.from_numpy(inputs)).argmax(2) == labels
            if copy == 0:
                claim(1)
        if copies > 1:
            claim(copies)
        return claims

    def _noisy(
        self, inputs: Floats, bounds: tuple[float, float], by: np.random.Generator
    ) -> Floats:
        low, high = bounds
        moved = inputs + by.normal(0, self.noise * (high - low), inputs.shape)
        return np.clip(moved, low, high).astype(np.float32)


def _log_odds(right: Tensor, of: int) -> Tensor:
    """Of a share, with half an observation added on each side."""
    return torch.log((right + 0.5) / (of - right + 0.5))
