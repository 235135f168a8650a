"""Timing: does an attacker's clock tell what another tenant did?

The judge holds the bit of each round. Headline: the area under the ROC curve of the attacker's
scores, in the direction that the attack stated beforehand; null: the same scores under permuted
bits. An interval that holds one half says that this many rounds showed nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strongroom.exposure.cell import CurvePoint, Figure
from strongroom.exposure.interface import Claim, Scores
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.auc import auc, auc_p_value
from strongroom.exposure.measurement.permutation import permuted_auc

LEAST = 8
_STEPS = (0.1, 0.2, 0.35)


class TimingJudge(Judge):
    """Holds what the other tenant did.

    Args:
        bits: booleans, one a round.
        what: what the attacker wants to know, for the sentence.
        seed: of the permutations.
    """

    def __init__(self, bits: Sequence[bool], what: str, *, seed: int = 0) -> None:
        self._bits = np.asarray(bits, dtype=bool)
        self._what = what
        self._seed = seed

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Scores)
        scores = claims[-1].scores  # type: ignore[attr-defined]
        bits = self._bits[: len(scores)]
        if len(bits) != len(scores):
            raise TypeError("a claim has one score for each round")
        did, did_not = scores[bits], scores[~bits]
        if min(len(did), len(did_not)) < LEAST:
            return not_measurable(
                f"Needs {LEAST} rounds of each sort, there are {len(did)} and {len(did_not)}."
            )
        found = auc(did, did_not)
        null = permuted_auc(scores, bits, seed=self._seed)
        figure = Figure("AUC", found, null, auc_p_value(did, did_not))
        return Verdict(
            status="measured",
            sentence=f"By its own clock a tenant tells {self._what} with AUC {found.value:.2f} "
            f"(0.5 is chance) over {len(scores)} rounds.",
            figures=(figure,),
            curve=(CurvePoint(claims[-1].queries, found),),
            severity=of_excess(figure, _STEPS),
        )
