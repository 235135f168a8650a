"""What a student must pass before it is released; `checks` has what a verdict is made of.

1. It answers as well as the teacher, nearly.
2. The teacher's training records cannot be found through it.
3. No training record was in its corpus.
4. It holds no tensor of the teacher, but by grant, nor of other models that the owner names.
5. No more was asked of the teacher than was declared.
6. How adversarial inputs made on it work on the teacher is told, and warned of, not refused: from
   one teacher they nearly always do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from strongroom.distil import cells, checks, leakage, votes
from strongroom.distil.beside import Beside, by_tensors
from strongroom.distil.checks import Verdict
from strongroom.distil.making import Workshop
from strongroom.distil.similarity import copied, matrices
from strongroom.exposure.attacks.vision.evasion import Question
from strongroom.exposure.attacks.vision.recipe import logits_of
from strongroom.exposure.attacks.vision.transfer import deepest
from strongroom.exposure.interface import Records

_STEPS = 40


def judge(
    student: nn.Module, workshop: Workshop, asked: int, beside: Iterable[Beside] = ()
) -> Verdict:
    """Steps 1 to 6.

    Args:
        student: what is to be released.
        workshop: what it was made from.
        asked: rows that the teacher was asked for it.
        beside: other models that it must not hold.
    """
    plan, limits, division = workshop.plan, workshop.plan.limits, workshop.division
    teacher, held = workshop.teacher.module, division.held
    best = accuracy(teacher, held)
    share = accuracy(student, held) / best if best else None
    shadows, others = workshop.shadows()
    leak = leakage.through(student, shadows, others.members, division)
    alike = copied(student, matrices(teacher), others.networks)
    reach = plan.reach * (workshop.teacher.input_range[1] - workshop.teacher.input_range[0])
    carried = transfer(student, teacher, held, reach, workshop.teacher.input_range)
    attack = f"by {leak.attack}, {leak.auc.interval.low:.3f} to {leak.auc.interval.high:.3f}"
    found = [
        checks.least("accuracy, of the teacher's", share, limits.utility, f"teacher {best:.3f}"),
        checks.most("AUC of finding the teacher's records", leak.auc.value, limits.auc, attack),
        checks.most("TPR of the same at 1 % FPR", leak.tpr, limits.tpr),
        checks.most("training records in the corpus", float(division.overlap), 0.0),
        checks.likeness(
            "likeness to the teacher's tensors",
            alike,
            limits.copied,
            granted=plan.grants.teacher_tensors,
            note="0: independent models, 1: the teacher",
        ),
        *(by_tensors(student, each, others.networks, limits.copied) for each in beside),
        checks.most("rows asked of the teacher", float(asked), float(plan.queries)),
        checks.carried(
            "adversarial inputs that carry over",
            carried,
            limits.transfer,
            "" if carried is not None else "no input fooled the student",
        ),
    ]
    if plan.answers == "votes":
        epsilon = votes.epsilon(plan)
        finite = epsilon if math.isfinite(epsilon) else None
        found.append(checks.told("epsilon at delta 1e-5", finite, "data-independent"))
    null = leakage.through(shadows[0], shadows[1:], others.members[1:], division)
    return Verdict(tuple(found), (cells.membership(leak, null, plan.seed),))


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
