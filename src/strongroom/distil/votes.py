"""PATE: an ensemble votes, noise is added, and only the winning class is told.

Each of ``voters`` networks is trained on its own part of the members, so that one record changes
one vote. Gaussian noise of standard deviation s on each class's count makes an answer
(a, a/s²)-Rényi differentially private for every order a; q answers add up, and
(epsilon, delta)-privacy follows from the best order.

Source: Papernot et al., Scalable private learning with PATE (2018), data-independent bound of the
GNMax aggregator; Mironov, Rényi differential privacy (2017), proposition 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from strongroom.distil.answers import Answering
from strongroom.distil.plan import Plan
from strongroom.exposure.attacks.vision.recipe import Recipe, logits_of, train
from strongroom.exposure.attacks.vision.stack import train_stack


def ensemble(
    recipe: Recipe, inputs: Tensor, labels: Tensor, voters: int, seed: int
) -> list[nn.Sequential]:
    """Networks trained on disjoint parts of the rows, of one size."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    size = len(inputs) // voters
    masks = torch.zeros(voters, len(inputs), dtype=torch.bool)
    for number in range(voters):
        masks[number, order[number * size : (number + 1) * size]] = True
    if recipe.dense:
        return train_stack(recipe, inputs, labels, masks, seed)
    return [
        train(recipe, inputs[mask], labels[mask], seed + number)
        for number, mask in enumerate(masks)
    ]


def voting(networks: Sequence[nn.Module], classes: int, plan: Plan, seed: int) -> Answering:
    """Noisy majorities."""
    chance = torch.Generator().manual_seed(seed)

    def answer(inputs: Tensor) -> Tensor:
        votes = torch.stack([logits_of(network, inputs).argmax(1) for network in networks])
        counts = torch.nn.functional.one_hot(votes, classes).sum(0).float()
        return (counts + plan.noise * torch.randn(counts.shape, generator=chance)).argmax(1)

    return answer


def epsilon(plan: Plan, delta: float = 1e-5) -> float:
    """What all answers together guarantee a member; infinite without noise."""
    if not plan.noise:
        return math.inf
    each = plan.queries / plan.noise**2
    # of each*a + log(1/delta)/(a-1), at the order a where the two grow alike
    order = 1 + math.sqrt(math.log(1 / delta) / each)
    return each * order + math.log(1 / delta) / (order - 1)
