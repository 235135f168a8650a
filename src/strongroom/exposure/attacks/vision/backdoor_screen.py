"""A screen for backdoors that is calibrated with clean models of the same recipe.

Each statistic is taken of the object and of every reference. A class's deviation is counted in
standard deviations of the references (pooled over classes: a handful of models cannot give each
its own), and the limit is where the references themselves, each left out in turn, are all silent,
and some beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.exposure.interface import (
    Alarms,
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse

from .backdoor_statistics import largest_margin, trigger_norm, weight_outlier
from .recipe import one_thread
from .references import References
from .view import Public, public

Statistic = Callable[[nn.Module], Tensor]

LEAST_REFERENCES = 4
_BEYOND = 1.8
"""The limit lies this many times as far out as the oddest reference."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A statistic with what is usual for it: ``centre`` (classes,), ``spread`` and ``limit``."""

    statistic: Statistic
    centre: Tensor
    spread: float
    limit: float

    def oddity(self, network: nn.Module) -> float:
        """The oddest class's deviation over the limit; above 1 is an alarm."""
        away = (self.statistic(network) - self.centre) / self.spread
        return float(away.max()) / self.limit


def calibrate(statistic: Statistic, references: Sequence[nn.Module]) -> Calibrated:
    """Learn what is usual.

    Raises:
        ExposureRefused: ``exposure.knowledge_lacking``: too few references.
    """
    if len(references) < LEAST_REFERENCES:
        what = f"{LEAST_REFERENCES} clean models of the same recipe, or more"
        raise refuse("exposure.knowledge_lacking", what=what)
    values = torch.stack([statistic(network) for network in references])
    centre, spread = values.mean(0), _pooled(values)
    furthest = 0.0
    for number in range(len(values)):
        rest = torch.cat([values[:number], values[number + 1 :]])
        away = (values[number] - rest.mean(0)) / _pooled(rest)
        furthest = max(furthest, float(away.max()))
    return Calibrated(statistic, centre, spread, _BEYOND * max(furthest, 2.0))


def statistics(inputs: Tensor, known: Public) -> dict[str, Statistic]:
    """The three, by name; ``inputs`` are clean data."""
    return {
        "trigger norm": lambda n: trigger_norm(n, inputs, known.classes, known.bounds),
        "largest margin": lambda n: largest_margin(n, known.shape, known.classes, known.bounds),
        "weight outlier": weight_outlier,
    }


class BackdoorScreen(Attack):
    """Trigger norm, largest margin and weight outlier, each against clean references.

    Args:
        rows: clean inputs for the trigger search.
    """

    name = "backdoor-screen"
    family = Family.TAMPERING
    goal = "Find out whether a model holds a backdoor"
    rungs = (Rung.WEIGHTS,)
    knowledge = (Knows.RECIPE,)
    applies = ("classifier",)
    taxonomy = ("ATLAS:AML.T0018", "OWASP-ML:ML10:2023")
    source = "Wang et al., Neural Cleanse, S&P 2019; Wang et al., MM-BD, S&P 2024"
    cost = "some seconds a model, references included"

    def __init__(self, *, rows: int = 32) -> None:
        self.rows = rows

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Screen the modules asked about; the target's own where ``asked`` is None.

        The score is the largest oddity: above 1 an alarm. No alarm means that none of these
        statistics is odd, not that the model is clean.
        """
        references, data = knowledge.references, knowledge.data
        if not isinstance(references, References) or data is None:
            raise refuse("exposure.knowledge_lacking", what="clean references and clean data")
        objects = [target.model()] if knowledge.asked is None else list(knowledge.asked)
        inputs = torch.from_numpy(np.ascontiguousarray(data.inputs[: self.rows]))
        scores = np.zeros(len(objects))
        with one_thread():
            for statistic in statistics(inputs, public(knowledge)).values():
                usual = calibrate(statistic, references.networks)
                found = [usual.oddity(each.eval().requires_grad_(False)) for each in objects]
                scores = np.maximum(scores, found)
        return [Alarms(target.spent().queries, tuple(bool(s > 1) for s in scores), scores)]


def _pooled(values: Tensor) -> float:
    """Standard deviation within classes, of (models, classes)."""
    squares = (values - values.mean(0)).square().sum(0) / (len(values) - 1)
    return float(squares.mean().sqrt())
