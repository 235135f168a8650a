"""The student, from a teacher behind its target; and the students that an attacker would make of
teachers of his own, to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strongroom.distil import votes
from strongroom.distil.answers import Answering, asked, of_network, questions
from strongroom.distil.division import Division
from strongroom.distil.plan import Plan
from strongroom.exposure.attacks.vision.recipe import Recipe, train
from strongroom.exposure.attacks.vision.references import References, train_references
from strongroom.exposure.attacks.vision.stack import train_stack
from strongroom.exposure.interface import Budget
from strongroom.exposure.model import Classifier
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.in_process import checked, open_classifier
from strongroom.exposure.targets.metering import Meter

TEACHERS = 32
"""Teachers of his own that the attacker of the gate trains."""


@dataclass(frozen=True)
class Workshop:
    """What a student is made from.

    Args:
        plan: what to do.
        teacher: the owner's model.
        config: its sealed description.
        division: the owner's records.
        teachers: of the attacker's own, for the gate.
    """

    plan: Plan
    teacher: Classifier
    config: dict[str, Any]
    division: Division
    teachers: int = TEACHERS

    def target(self) -> Any:
        """The teacher, or the ensemble of the plan, closed: it answers ``plan.queries`` rows."""
        budget = Budget(self.plan.queries, float("inf"))
        if self.plan.answers != "votes":
            return open_classifier(self.teacher, self.plan.rung, budget)
        members = self.division.bits
        vote = self._vote(np.flatnonzero(members), self.plan.seed)
        meter = Meter(self.plan.queries)

        def labels(inputs: np.ndarray) -> np.ndarray:
            rows = checked(inputs, self.teacher)
            meter.charge(len(rows))
            return vote(torch.from_numpy(rows)).numpy()

        return close({"labels": labels, "spent": meter.spent})

    def student(self, target: Any) -> nn.Sequential:
        """Ask, and train on the answers; nothing of them is kept.

        Raises:
            ExposureRefused: ``exposure.budget_spent``.
        """
        inputs = self._questions()
        answers = asked(target, inputs, self.plan)
        recipe = self.plan.recipe(self.config)
        return train(recipe, torch.from_numpy(inputs), answers, self.plan.seed)

    def shadows(self) -> tuple[list[nn.Sequential], References]:
        """Students of teachers trained on halves of the records asked about, and those teachers."""
        records = self.division.asked
        inputs, labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
        recipe = self.plan.teachers(self.config)
        teachers = train_references(recipe, inputs, labels, self.teachers, self.plan.seed + 100)
        rows = torch.from_numpy(self._questions())
        answers = []
        for number, teacher in enumerate(teachers.networks):
            answer: Answering = of_network(teacher, self.plan)
            if self.plan.answers == "votes":
                mine = np.flatnonzero(teachers.members[number].numpy())
                answer = self._vote(mine, self.plan.seed + 200 + number)
            answers.append(answer(rows))
        return _students(self.plan.recipe(self.config), rows, answers, self.plan.seed), teachers

    def _questions(self) -> np.ndarray:
        return questions(self.division.corpus, self.plan, self.teacher.input_range)

    def _vote(self, rows: np.ndarray, seed: int) -> Answering:
        records = self.division.asked
        networks = votes.ensemble(
            self.plan.teachers(self.config),
            torch.from_numpy(records.inputs[rows]),
            torch.from_numpy(records.labels[rows]),
            self.plan.voters,
            seed,
        )
        return votes.voting(networks, len(self.teacher.labels), self.plan, seed)


def _students(
    recipe: Recipe, rows: Tensor, answers: Sequence[Tensor], seed: int
) -> list[nn.Sequential]:
    """One for each teacher's answers to the same rows; perceptrons are trained all at once."""
    if not recipe.dense:
        return [train(recipe, rows, told, seed + at) for at, told in enumerate(answers)]
    count, each = len(answers), len(rows)
    own = torch.eye(count, dtype=torch.bool).repeat_interleave(each, dim=1)
    inputs = rows.repeat(count, *[1] * (rows.ndim - 1))
    return train_stack(recipe, inputs, torch.cat(list(answers)), own, seed)
