"""A classifier under audit.

The owner's non-members are halved: one half is what an attacker with in-distribution data has, the
other is the judge's. Attackers who know the recipe train references on halves of the records that
are asked about, as the online attacks of LiRA and RMIA do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from strongroom.exposure.attacks.system.planted_backdoors import PlantedBackdoors
from strongroom.exposure.attacks.vision.cloning import foreign
from strongroom.exposure.attacks.vision.recipe import Recipe, logits_of, train
from strongroom.exposure.attacks.vision.references import References, cached_references
from strongroom.exposure.attacks.vision.view import Public
from strongroom.exposure.data import Split
from strongroom.exposure.interface import (
    Attack,
    Budget,
    Family,
    Floats,
    Integers,
    Knowledge,
    Knows,
    Records,
)
from strongroom.exposure.judge.cloning import CloningJudge
from strongroom.exposure.judge.evasion import EvasionJudge
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.judge.interface import Judge
from strongroom.exposure.judge.inversion import InversionJudge
from strongroom.exposure.judge.membership import MembershipJudge
from strongroom.exposure.judge.tampering import ScreenJudge, TamperingJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.model import Classifier
from strongroom.exposure.reasons import refuse
from strongroom.exposure.subjects.interface import Opener, Scale, Subject
from strongroom.exposure.targets.in_process import open_classifier

_EVADED = 60
_HELD = 2000
_STEPS = {True: 1200, False: 400}
"""Training steps of a reference, for perceptrons and for networks that are slower to train."""


class ClassifierSubject(Subject):
    """See the module.

    Args:
        model: the owner's.
        config: its sealed description, the part of the recipe that an insider knows.
        split: the owner's records; None measures only what needs none.
        scale: how much of everything.
        served: how the door is reached, by rung.
        epsilon: largest change of a value in evasion, as a share of the input range.
        cache: folder for references; None keeps nothing.
        seed: of splits.
    """

    kind = "classifier"
    rungs = (
        Rung.LABEL,
        Rung.TOP1,
        Rung.TOPK,
        Rung.LOGITS,
        Rung.EMBEDDINGS,
        Rung.GRADIENTS,
        Rung.WEIGHTS,
    )

    def __init__(
        self,
        model: Classifier,
        config: Mapping[str, Any],
        split: Split | None,
        scale: Scale,
        served: Mapping[Rung, Opener],
        *,
        epsilon: float = 0.06,
        cache: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.served = dict(served)
        self._model = model
        self._config = config
        self._split = split
        self._scale = scale
        self._seed = seed
        self._cache = cache
        low, high = model.input_range
        self._epsilon = epsilon * (high - low)

    def in_process(self, rung: Rung, budget: Budget) -> Any:
        """See the base."""
        return open_classifier(self._model, rung, budget)

    def facts(self) -> dict[str, str]:
        """See the base."""
        said = {
            "classes": str(len(self._model.labels)),
            "input shape": "x".join(map(str, self._model.input_shape)),
            "evasion distance (L-infinity)": f"{self._epsilon:g}",
        }
        if self._split is None:
            return said | {"records": "none were given"}
        members = int(self._split.member.sum())
        others = len(self._split.member) - members
        return said | {
            "records": f"{members:,} trained on, {others:,} not",
            "asked about in membership": f"{len(self._asked):,}",
            "the attacker's own": f"{len(self._theirs):,}",
        }

    def knowledge(self, attack: Attack, level: Knows, seed: int) -> Knowledge:
        """See the base."""
        recipe = level is Knows.RECIPE
        known = Knowledge(
            level,
            data=None if level is Knows.NOTHING else self._theirs,
            recipe=self.recipe if recipe else None,
            public=self._public,
        )
        match attack.family:
            case Family.MEMBERSHIP:
                references = self._references if recipe else None
                return dataclasses.replace(known, asked=self._asked, references=references)
            case Family.EVASION:
                return dataclasses.replace(known, asked=self._evaded)
            case Family.TAMPERING if recipe:
                return dataclasses.replace(known, references=self._references)
        return known

    def judge(self, attack: Attack, level: Knows, seed: int) -> Judge:
        """See the base."""
        match attack.family:
            case Family.MEMBERSHIP:
                rows, bits = self._asked_rows
                return MembershipJudge(bits, self._asked.inputs, seed=seed, indices=rows.tolist())
            case Family.CLONING:
                noise = foreign(self._known, 500, self._seed + 99)
                answers = self._answers(self._held.inputs)
                return CloningJudge(self._held, answers, (noise, self._answers(noise)))
            case Family.EVASION:
                return EvasionJudge(
                    self._evaded,
                    self._answers,
                    epsilon=self._epsilon,
                    bounds=self._model.input_range,
                    seed=seed,
                )
            case Family.INVERSION:
                return self._inversion_judge(seed)
            case Family.REVERSE:
                return FactsJudge({"hidden_size": Truth(self._width, chance=0.01)})
            case Family.TAMPERING if attack.name == "backdoor-screen":
                return ScreenJudge()
            case Family.TAMPERING if isinstance(attack, PlantedBackdoors):
                return TamperingJudge(attack.altered(), attack.named())
            case Family.TAMPERING:
                return TamperingJudge([True, False], ["a flipped bit", "nothing"])
        raise refuse("exposure.knowledge_lacking", what=f"a judge of {attack.family}")

    @cached_property
    def recipe(self) -> Recipe:
        """How the model is made, as far as its description says; trained for as long as needed."""
        config = self._config
        batches = -(-max(1, len(self._asked) // 2) // 64)
        kinds = {layer["type"] for layer in config["layers"]}
        steps = _STEPS[kinds <= {"linear", "relu"}]
        return Recipe(
            tuple(config["layers"]),
            tuple(config["input_shape"]),
            float(config.get("input_mean", 0.0)),
            float(config.get("input_std", 1.0)),
            epochs=max(5, -(-steps // batches)),
        )

    @property
    def _known(self) -> Public:
        model = self._model
        return Public(len(model.labels), model.input_shape, model.input_range)

    @property
    def _public(self) -> dict[str, Any]:
        model = self._model
        return {
            "labels": model.labels,
            "input_shape": model.input_shape,
            "input_range": model.input_range,
            "epsilon": self._epsilon,
        }

    @property
    def _width(self) -> int:
        """Inputs of the last layer."""
        with torch.no_grad():
            rows = torch.zeros(1, *self._model.input_shape)
            for layer in list(self._model.module.children())[:-1]:
                rows = layer(rows)
        return int(rows.numel())

    def _answers(self, inputs: Floats) -> Integers:
        found: Integers = self._model.logits(inputs).argmax(1)
        return found

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of members, of the attacker's data, and of the judge's others."""
        if self._split is None:
            raise refuse("exposure.knowledge_lacking", what="the owner's data (--data)")
        chance = np.random.default_rng(self._seed)
        members = chance.permutation(np.flatnonzero(self._split.member))
        others = chance.permutation(np.flatnonzero(~self._split.member))
        return members, others[: len(others) // 2], others[len(others) // 2 :]

    def _rows(self, rows: np.ndarray) -> Records:
        if self._split is None:
            raise refuse("exposure.knowledge_lacking", what="the owner's data (--data)")
        return self._split.part(rows)

    @cached_property
    def _theirs(self) -> Records:
        return self._rows(self._parts[1])

    @cached_property
    def _held(self) -> Records:
        return self._rows(self._parts[2][:_HELD])

    @cached_property
    def _asked_rows(self) -> tuple[np.ndarray, np.ndarray]:
        members, _, others = self._parts
        most = self._scale.records
        rows = np.concatenate([members[:most], others[:most]])
        bits = np.zeros(len(rows), dtype=bool)
        bits[: len(members[:most])] = True
        order = np.random.default_rng(self._seed + 1).permutation(len(rows))
        return rows[order], bits[order]

    @cached_property
    def _asked(self) -> Records:
        return self._rows(self._asked_rows[0])

    @cached_property
    def _evaded(self) -> Records:
        return self._rows(self._parts[2][:_EVADED])

    @cached_property
    def _references(self) -> References:
        asked = self._asked
        return cached_references(
            self._cache,
            self.recipe,
            torch.from_numpy(asked.inputs),
            torch.from_numpy(asked.labels),
            self._scale.references,
            self._seed,
        )

    def _inversion_judge(self, seed: int) -> Judge:
        theirs = self._theirs
        classes = np.arange(len(self._model.labels))
        missing = set(classes.tolist()) - set(theirs.labels.tolist())
        if missing:
            raise refuse("exposure.knowledge_lacking", what="records of every class")
        judge = train(
            self.recipe,
            torch.from_numpy(theirs.inputs),
            torch.from_numpy(theirs.labels),
            self._seed + 7,
        )

        def evaluate(inputs: Floats) -> Floats:
            rows = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
            found: Floats = torch.softmax(logits_of(judge, rows), 1).numpy()
            return found

        means = np.stack([theirs.inputs[theirs.labels == c].mean(0) for c in classes])
        members = self._rows(self._parts[0])
        return InversionJudge(classes, evaluate, means, members, self._held, seed=seed)
