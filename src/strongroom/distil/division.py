"""Which of the owner's records serve for what; nothing serves twice.

Members trained the teacher. Of the others, some stand beside them where membership is asked, some
are what the student learns on, and some are held for utility and adversarial transfer. So no
member is in the student's corpus, unless records were given twice: ``overlap`` counts those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongroom.distil.reasons import refuse
from strongroom.exposure.data import Split
from strongroom.exposure.interface import Records
from strongroom.exposure.judge.membership import LEAST
from strongroom.exposure.measurement.low_fpr import needed

_RATE = 0.01


@dataclass(frozen=True)
class Division:
    """``asked``: where membership is asked, with ``bits``; see the module."""

    asked: Records
    bits: np.ndarray
    corpus: np.ndarray
    held: Records
    overlap: int


def divide(split: Split, seed: int) -> Division:
    """The same division for the same records and seed.

    Raises:
        ExposureRefused: ``distil.records_too_few``.
    """
    chance = np.random.default_rng(seed)
    members = chance.permutation(np.flatnonzero(split.member))
    others = chance.permutation(np.flatnonzero(~split.member))
    beside = min(len(others) // 2, max(needed(_RATE), len(members)))
    held = (len(others) - beside) // 3
    if min(len(members), beside, held) < LEAST:
        raise refuse(
            "distil.records_too_few",
            why=f"{len(members)} members and {len(others)} others",
        )
    asked = np.concatenate([members, others[:beside]])
    corpus = split.records.inputs[others[beside + held :]]
    known = {row.tobytes() for row in split.records.inputs[members]}
    return Division(
        split.part(asked),
        np.arange(len(asked)) < len(members),
        corpus,
        split.part(others[beside : beside + held]),
        sum(row.tobytes() in known for row in corpus),
    )
