"""What a student tells of the teacher's training records.

The attacker holds the student and knows how it was made. He trains teachers on halves of the
records asked about, asks each as the real one was asked, makes a student of each, and compares:
every record was seen, at second hand, by half of these students. What is told is the strongest of
four attacks, chosen with the truth in hand, so that the figure rather errs upwards.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strongroom.distil.division import Division
from strongroom.exposure.attacks.vision.likelihood import difficulty, lira_online, rmia, scaled
from strongroom.exposure.attacks.vision.recipe import logits_of
from strongroom.exposure.cell import Estimate
from strongroom.exposure.interface import Floats
from strongroom.exposure.measurement.auc import auc, auc_p_value
from strongroom.exposure.measurement.low_fpr import tpr_at

RATE = 0.01
_HALVINGS = 21
"""Ways to halve the non-members for a threshold; the median rate is told, as one halving of a few
hundred is a matter of luck."""


@dataclass(frozen=True)
class Leak:
    """``auc`` of the attack named, and its ``tpr`` at 1 % false positives: None where that is not
    measurable. ``p``: that scores which know nothing give such an area, by that attack alone."""

    attack: str
    auc: Estimate
    p: float
    tpr: float | None


def through(
    student: nn.Module, shadows: Sequence[nn.Module], seen: Tensor, division: Division
) -> Leak:
    """The strongest attack on ``student``.

    Args:
        student: what is to be released.
        shadows: students made the same way, from other teachers.
        seen: (shadows, rows), bool: which record's teacher was trained on it.
        division: the records asked about.
    """
    inputs, labels = (
        torch.from_numpy(part) for part in (division.asked.inputs, division.asked.labels)
    )
    target = scaled(logits_of(student, inputs), labels)
    others = scaled(torch.stack([logits_of(each, inputs) for each in shadows]), labels)
    scores = {
        "loss": target,
        "LiRA": lira_online(target, others, seen),
        "RMIA": rmia(target.sigmoid(), others.sigmoid(), seen),
        "difficulty": difficulty(target, others, seen),
    }
    found = {name: _area(values, division) for name, values in scores.items()}
    worst = max(found, key=lambda name: found[name].value)
    told = scores[worst].double().numpy()
    p = auc_p_value(told[division.bits], told[~division.bits])
    return Leak(worst, found[worst], p, rate(told[division.bits], told[~division.bits]))


def _area(values: Tensor, division: Division) -> Estimate:
    scores = values.double().numpy()
    return auc(scores[division.bits], scores[~division.bits])


def rate(members: Floats, others: Floats) -> float | None:
    """The true positives at 1 % false ones, the median over halvings of the non-members; None
    where it is not measurable."""
    found = [tpr_at(members, others, RATE, seed=seed) for seed in range(_HALVINGS)]
    rates = [each.tpr.value for each in found if each is not None]
    return statistics.median(rates) if rates else None
