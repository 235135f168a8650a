"""Membership from gradients: the pull that a record still has on each layer of the model.

Where gradients or weights are exposed, the size of a record's gradient at each parameter tensor
is a feature beside its confidence. What they mean is learned from the reference models, each of
which plays the target once: its members are known to the attacker, who trained it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Scores,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.interface import WeightsTarget

from .likelihood import scaled
from .recipe import logits_of, one_thread
from .references import references_for


class GradientMembership(Attack):
    """A logistic regression on confidence and gradient norms, each compared with the references.

    Args:
        models: how many of the shared references to use; None: all.
    """

    name = "membership-gradients"
    family = Family.MEMBERSHIP
    goal = "Tell members of the training set by the gradients that they leave"
    rungs = (Rung.GRADIENTS, Rung.WEIGHTS)
    knowledge = (Knows.RECIPE,)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0024.000", "OWASP-ML:ML04:2023")
    source = "Nasr et al., Comprehensive privacy analysis of deep learning, S&P 2019"
    cost = "two queries a record; gradients of the shared reference models"

    def __init__(self, *, models: int | None = 16) -> None:
        self.models = models

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Score the records asked about."""
        asked = knowledge.asked
        inputs, labels = torch.from_numpy(asked.inputs), torch.from_numpy(asked.labels)
        references = references_for(knowledge, seed, self.models)
        if isinstance(target, WeightsTarget):
            ours = features(target.model(), inputs, labels)
        else:
            norms = torch.from_numpy(target.parameter_gradients(asked.inputs, asked.labels))
            logits = torch.from_numpy(target.logits(asked.inputs))
            ours = _features(logits.float(), norms.float(), labels)
        with one_thread():
            theirs = torch.stack([features(n, inputs, labels) for n in references.networks])
            scores = learned(ours, theirs, references.members)
        return [Scores(target.spent().queries, scores.numpy())]


def features(network: nn.Module, inputs: Tensor, labels: Tensor, batch: int = 256) -> Tensor:
    """Log-odds of the right class and the logarithm of each gradient norm, (rows, 1 + tensors)."""
    norms = torch.cat(
        [
            parameter_gradients(network, part, truth)
            for part, truth in zip(
                torch.split(inputs, batch), torch.split(labels, batch), strict=True
            )
        ]
    )
    return _features(logits_of(network, inputs), norms, labels)


def parameter_gradients(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Norm of each row's gradient with respect to each parameter tensor, (rows, tensors)."""
    parameters = {name: part.detach() for name, part in network.named_parameters()}

    def loss(parts: dict[str, Tensor], row: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(network, parts, (row[None],))
        return nn.functional.cross_entropy(logits, label[None])

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, labels)
    return torch.stack([part.flatten(1).norm(dim=1) for part in found.values()], dim=1)


def learned(ours: Tensor, theirs: Tensor, members: Tensor) -> Tensor:
    """Scores (rows,) of our features (rows, f), learned on (models, rows, f) and their members."""
    examples = torch.cat([_relative(theirs, members, number) for number in range(len(theirs))])
    centre, spread = examples.mean(0), examples.std(0).clamp_min(1e-6)
    weights = _regression((examples - centre) / spread, members.flatten().float())
    relative = (ours - theirs.mean(0)) / _spread(theirs)
    features = torch.cat([relative, ours], 1)
    return _with_one((features - centre) / spread) @ weights


def _relative(theirs: Tensor, members: Tensor, number: int) -> Tensor:
    """One reference as the target, seen against the others."""
    rest = torch.cat([theirs[:number], theirs[number + 1 :]])
    return torch.cat([(theirs[number] - rest.mean(0)) / _spread(rest), theirs[number]], 1)


def _spread(values: Tensor) -> Tensor:
    return values.std(0).mean(0).clamp_min(1e-6)


def _features(logits: Tensor, norms: Tensor, labels: Tensor) -> Tensor:
    return torch.cat([scaled(logits, labels)[:, None], norms.clamp_min(1e-12).log()], 1)


def _with_one(rows: Tensor) -> Tensor:
    return torch.cat([rows, torch.ones(len(rows), 1)], 1)


def _regression(rows: Tensor, truth: Tensor, *, ridge: float = 1e-2, rounds: int = 8) -> Tensor:
    """Logistic regression by Newton's method."""
    rows = _with_one(rows).double()
    weights = torch.zeros(rows.shape[1], dtype=torch.float64)
    penalty = ridge * len(rows) * 1e-2 * torch.eye(rows.shape[1], dtype=torch.float64)
    for _ in range(rounds):
        chance = torch.sigmoid(rows @ weights)
        slope = rows.mT @ (chance - truth.double()) + penalty @ weights
        curve = (rows * (chance * (1 - chance))[:, None]).mT @ rows + penalty
        weights = weights - torch.linalg.solve(curve, slope)
    return weights.float()
