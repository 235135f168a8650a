"""What a student must pass before it is released. A check that cannot be made is not passed.

1. It answers as well as the teacher, nearly.
2. The teacher's training records cannot be found through it.
3. No training record was in its corpus.
4. It holds no tensor of the teacher, but by grant.
5. No more was asked of the teacher than was declared.
6. How adversarial inputs made on it work on the teacher is told, and warned of, not refused: from
   one teacher they nearly always do.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import nn

from strongroom.distil import cells, leakage, votes
from strongroom.distil.making import Workshop
from strongroom.distil.plan import Plan
from strongroom.distil.similarity import copied
from strongroom.exposure.attacks.vision.evasion import Question
from strongroom.exposure.attacks.vision.recipe import logits_of
from strongroom.exposure.attacks.vision.transfer import deepest
from strongroom.exposure.cell import Cell
from strongroom.exposure.interface import Records

_STEPS = 40

Outcome = Literal["passed", "failed", "warning", "granted", "told"]


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One check. ``value`` None: it could not be made. ``limit`` None: there is none."""

    name: str
    value: float | None
    limit: float | None
    outcome: Outcome
    note: str = ""


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All checks of one student; ``cells``: what was attacked, as an exposure matrix has it."""

    checks: tuple[Check, ...]
    cells: tuple[Cell, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == "failed")


def judge(student: nn.Module, workshop: Workshop, asked: int) -> Verdict:
    """Steps 1 to 6.

    Args:
        student: what is to be released.
        workshop: what it was made from.
        asked: rows that the teacher was asked for it.
    """
    plan, limits, division = workshop.plan, workshop.plan.limits, workshop.division
    teacher, held = workshop.teacher.module, division.held
    best = accuracy(teacher, held)
    share = accuracy(student, held) / best if best else None
    shadows, others = workshop.shadows()
    leak = leakage.through(student, shadows, others.members, division)
    alike = copied(student, teacher, others.networks)
    reach = plan.reach * (workshop.teacher.input_range[1] - workshop.teacher.input_range[0])
    carried = transfer(student, teacher, held, reach, workshop.teacher.input_range)
    attack = f"by {leak.attack}, {leak.auc.interval.low:.3f} to {leak.auc.interval.high:.3f}"
    checks = [
        _least("accuracy, of the teacher's", share, limits.utility, f"teacher {best:.3f}"),  # (1)
        _most("AUC of finding the teacher's records", leak.auc.value, limits.auc, attack),  # (2)
        _most("TPR of the same at 1 % FPR", leak.tpr, limits.tpr),
        _most("training records in the corpus", float(division.overlap), 0.0),  # (3)
        _copied(alike, plan),  # (4)
        _most("rows asked of the teacher", float(asked), float(plan.queries)),  # (5)
        _carried(carried, limits.transfer),  # (6)
    ]
    if plan.answers == "votes":
        told = votes.epsilon(plan)
        finite = told if math.isfinite(told) else None
        checks.append(Check("epsilon at delta 1e-5", finite, None, "told", "data-independent"))
    null = leakage.through(shadows[0], shadows[1:], others.members[1:], division)
    return Verdict(tuple(checks), (cells.membership(leak, null, plan.seed),))


def accuracy(network: nn.Module, records: Records) -> float:
    """Share of the records that it classifies rightly."""
    right = logits_of(network, torch.from_numpy(records.inputs)).argmax(1).numpy()
    return float((right == records.labels).mean())


def transfer(
    student: nn.Module,
    teacher: nn.Module,
    held: Records,
    reach: float,
    bounds: tuple[float, float],
) -> float | None:
    """Of the inputs that fool the student, and that both read rightly before, the share that fools
    the teacher too; None where none fools the student."""
    inputs, labels = torch.from_numpy(held.inputs), torch.from_numpy(held.labels)
    both = (logits_of(student, inputs).argmax(1) == labels) & (
        logits_of(teacher, inputs).argmax(1) == labels
    )
    inputs, labels = inputs[both], labels[both]
    if not len(inputs):
        return None
    found = deepest(student, Question(inputs, labels, reach, bounds), _STEPS)
    fooled = logits_of(student, found).argmax(1) != labels
    if not bool(fooled.any()):
        return None
    return float((logits_of(teacher, found[fooled]).argmax(1) != labels[fooled]).float().mean())


def _least(name: str, value: float | None, limit: float, note: str = "") -> Check:
    good = value is not None and value >= limit
    return Check(name, _rounded(value), limit, "passed" if good else "failed", note)


def _most(name: str, value: float | None, limit: float, note: str = "") -> Check:
    if value is None or not np.isfinite(value):
        return Check(name, None, limit, "failed", "not measurable: too few records")
    return Check(name, _rounded(value), limit, "passed" if value <= limit else "failed", note)


def _copied(alike: float, plan: Plan) -> Check:
    name, limit = "likeness to the teacher's tensors", plan.limits.copied
    note = "0: independent models, 1: the teacher"
    if plan.grants.teacher_tensors:
        return Check(name, _rounded(alike), limit, "granted", note)
    return _most(name, alike, limit, note)


def _carried(value: float | None, limit: float) -> Check:
    outcome: Outcome = "warning" if value is None or value > limit else "told"
    note = "" if value is not None else "no input fooled the student"
    return Check("adversarial inputs that carry over", _rounded(value), limit, outcome, note)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
