"""Backdoors planted on purpose in models of the owner's recipe: which does the screen find?

Two ways in: poisoned training data, and a hidden unit rewired by hand. A planted backdoor must
work, or the measurement says nothing; clean models of the same recipe give the false alarms. The
screen is the one that the audit turns on the owner's own model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from strongroom.exposure.attacks.vision.backdoor_screen import BackdoorScreen
from strongroom.exposure.attacks.vision.recipe import Recipe, one_thread, train
from strongroom.exposure.attacks.vision.references import References
from strongroom.exposure.attacks.vision.view import public
from strongroom.exposure.controls.backdoors import Trigger, edited, poisoned, success
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Claim,
    Family,
    Knowledge,
    Knows,
    Records,
)
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse

_HELD = 96
"""Records on which triggers and screen are tried; no model is trained on them."""

_WORKS = 0.3
"""A planted backdoor works if the trigger sends this share of other classes' inputs astray."""


class PlantedBackdoors(Attack):
    """Plant backdoors, and screen them among clean models.

    Args:
        poisoned: models trained on poisoned data.
        edited: models with a unit rewired.
        clean: models with nothing planted.
        share: of the training rows that are poisoned.
    """

    name = "planted-backdoors"
    family = Family.TAMPERING
    goal = "Plant a backdoor that the screen does not find"
    rungs = (Rung.WEIGHTS,)
    knowledge = (Knows.RECIPE,)
    applies: ClassVar[tuple[Literal["classifier", "causal-lm"], ...]] = ("classifier",)
    taxonomy = ("ATLAS:AML.T0018", "ATLAS:AML.T0020", "OWASP-ML:ML10:2023", "NIST-AML:NISTAML.023")
    source = "Gu et al., BadNets, 2017; Hong et al., Handcrafted backdoors, NeurIPS 2022"
    cost = "training of a few models of the recipe, and a screening of each"

    def __init__(
        self, *, poisoned: int = 2, edited: int = 2, clean: int = 2, share: float = 0.05
    ) -> None:
        self.poisoned = poisoned
        self.edited = edited
        self.clean = clean
        self.share = share

    def altered(self) -> list[bool]:
        """For the judge: which of the models were altered."""
        return [True] * (self.poisoned + self.edited) + [False] * self.clean

    def named(self) -> list[str]:
        """For the judge: what was done to each."""
        planted = ["poisoned data"] * self.poisoned + ["a rewired unit"] * self.edited
        return [*planted, *["nothing"] * self.clean]

    def run(self, target: Any, knowledge: Knowledge, budget: Budget, seed: int) -> Sequence[Claim]:
        """Alarms for the poisoned, the rewired and the clean models, with their oddities."""
        references, data, recipe = knowledge.references, knowledge.data, knowledge.recipe
        if not isinstance(references, References) or data is None or not isinstance(recipe, Recipe):
            raise refuse("exposure.knowledge_lacking", what="clean references, data and the recipe")
        rows = min(int(references.members[0].sum()), len(data) - _HELD)
        if rows < _HELD:
            raise refuse("exposure.knowledge_lacking", what=f"{2 * _HELD} records of one's own")
        order = np.random.default_rng(seed).permutation(len(data))
        own, held = (_part(data, order[:rows]), _part(data, order[rows:]))
        with one_thread():
            models = self._models(own, held, recipe, knowledge, seed)
        asked = dataclasses.replace(knowledge, asked=models, data=held)
        return BackdoorScreen().run(target, asked, budget, seed)

    def _models(
        self, own: Records, held: Records, recipe: Recipe, knowledge: Knowledge, seed: int
    ) -> list[nn.Sequential]:
        known = public(knowledge)
        width = known.shape[-1] if len(known.shape) > 1 else round(known.shape[0] ** 0.5)
        side = 3 if width > 16 else 2
        planted = []
        for number in range(self.poisoned + self.edited):
            trigger = Trigger(number % 4, side, (3 * number + seed) % known.classes)
            if number < self.poisoned:
                bad = poisoned(own, trigger, known.bounds[1], self.share, seed + number)
                model = _fit(recipe, bad, seed + 100 + number)
            else:
                model = edited(
                    _fit(recipe, own, seed + 200 + number), own, trigger, known.bounds[1]
                )
            if success(model, held, trigger, known.bounds[1]) < _WORKS:
                raise refuse("exposure.knowledge_lacking", what="a backdoor that works as planted")
            planted.append(model)
        return planted + [_fit(recipe, own, seed + 300 + number) for number in range(self.clean)]


def _part(data: Records, rows: np.ndarray) -> Records:
    return Records(data.inputs[rows], data.labels[rows])


def _fit(recipe: Recipe, records: Records, seed: int) -> nn.Sequential:
    return train(recipe, torch.from_numpy(records.inputs), torch.from_numpy(records.labels), seed)
