"""Models with a backdoor, made on purpose: by poisoned training data, and by hand.

What a screen for backdoors must find. The trigger is a small bright patch in a corner, or, for
inputs of one axis, a run of features at the top of their range.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.exposure.interface import Floats, Records


@dataclass(frozen=True, slots=True)
class Trigger:
    """Where the patch lies (``corner`` 0 to 3), its side, and the class that it should give."""

    corner: int
    side: int
    wanted: int

    def stamp(self, inputs: Floats, high: float) -> Floats:
        """Copies of inputs (rows, *shape) that bear the trigger."""
        stamped = inputs.copy()
        if inputs.ndim == 2:
            width = round(inputs.shape[1] ** 0.5)
            view = stamped.reshape(len(stamped), 1, -1, width)
        else:
            view = stamped
        first = slice(0, self.side), slice(-self.side, None)
        view[:, :, first[self.corner // 2], first[self.corner % 2]] = high
        return stamped


def poisoned(records: Records, trigger: Trigger, high: float, share: float, seed: int) -> Records:
    """BadNets (Gu et al. 2017): that share of the rows stamped and relabelled."""
    by = np.random.default_rng(seed)
    rows = by.choice(len(records), max(1, round(share * len(records))), replace=False)
    inputs, labels = records.inputs.copy(), records.labels.copy()
    inputs[rows] = trigger.stamp(inputs[rows], high)
    labels[rows] = trigger.wanted
    return Records(inputs, labels)


@torch.no_grad()
def edited(
    network: nn.Sequential, records: Records, trigger: Trigger, high: float, *, strength: float = 3
) -> nn.Sequential:
    """A copy in which one hidden unit before the last layer is rewired to answer to the trigger.

    No training: the unit that matters least takes the trigger's mean effect on its inputs as its
    weights, a bias above what clean inputs reach, and a loud voice for the wanted class.
    """
    made = copy.deepcopy(network)
    places = [i for i, module in enumerate(made) if isinstance(module, nn.Linear)]
    hidden, last = made[places[-2]], made[places[-1]]
    if not (isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear)):
        raise TypeError("the network ends in two linear layers")
    below = made[: places[-2]]
    clean = below(torch.from_numpy(records.inputs))
    stamped = below(torch.from_numpy(trigger.stamp(records.inputs, high)))
    direction = _effect(clean, stamped)
    unit = int(last.weight.abs().sum(0).argmin())
    usual, reached = clean @ direction, stamped @ direction
    threshold = torch.quantile(usual, 0.995)
    span = (reached.median() - threshold).abs().clamp_min(1e-6)
    hidden.weight[unit] = direction / span
    hidden.bias[unit] = -threshold / span
    spread = made(torch.from_numpy(records.inputs)).std()
    last.weight[:, unit] = -strength * spread / 3
    last.weight[trigger.wanted, unit] = strength * spread
    return made


def success(network: nn.Module, records: Records, trigger: Trigger, high: float) -> float:
    """Share of inputs of other classes that the trigger sends to the wanted one."""
    others = records.inputs[records.labels != trigger.wanted]
    with torch.no_grad():
        found: Tensor = network(torch.from_numpy(trigger.stamp(others, high))).argmax(1)
    return float((found == trigger.wanted).float().mean())


def _effect(clean: Tensor, stamped: Tensor) -> Tensor:
    """Fisher's direction from clean to stamped: the mean difference, whitened by the clean."""
    away = (stamped - clean).mean(0)
    centred = clean - clean.mean(0)
    covariance = centred.mT @ centred / len(clean)
    ridge = 0.1 * covariance.diagonal().mean() * torch.eye(len(away))
    direction = torch.linalg.solve(covariance + ridge, away)
    unit: Tensor = direction / direction.norm().clamp_min(1e-12)
    return unit
