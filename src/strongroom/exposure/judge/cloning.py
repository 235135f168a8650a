"""Cloning: how often does the copy answer as the model does?

Headline: agreement on held-out records at the largest budget, beside the null: always naming the
class that the model names most, which needs no model. Further: the accuracy kept, and agreement on
inputs of another distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strongroom.exposure.cell import CurvePoint, Figure
from strongroom.exposure.interface import Claim, Clone, Floats, Integers, Records
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.proportions import binomial_tail, proportion

LEAST = 30
_STEPS = (0.3, 0.5, 0.7)


class CloningJudge(Judge):
    """Holds records that no clone was trained on.

    Args:
        held: held-out records.
        answers: the model's labels of them (n,).
        foreign: inputs of another distribution and the model's labels of them, or None.
    """

    def __init__(
        self, held: Records, answers: Integers, foreign: tuple[Floats, Integers] | None = None
    ) -> None:
        self._held = held
        self._answers = answers
        self._foreign = foreign

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Clone)
        if len(self._held) < LEAST:
            return not_measurable(f"Needs {LEAST} held-out records, there are {len(self._held)}.")
        curve = []
        figures: tuple[Figure, ...] = ()
        for claim in claims:
            if isinstance(claim, Clone):
                figures = self._figures(claim)
                curve.append(CurvePoint(claim.queries, figures[0].measured))
        sentence = (
            f"{claims[-1].queries:,} queries copied {figures[0].measured.value:.0%} of its answers."
        )
        return Verdict(
            status="measured",
            sentence=sentence,
            figures=figures,
            curve=tuple(curve),
            severity=of_excess(figures[0], _STEPS),
        )

    def _figures(self, claim: Clone) -> tuple[Figure, ...]:
        made = claim.predict(self._held.inputs).argmax(1)
        figures = [self._figure("agreement", made, self._answers)]
        figures.append(self._figure("accuracy of the clone", made, self._held.labels))
        if self._foreign is not None:
            inputs, answers = self._foreign
            figures.append(
                self._figure(
                    "agreement out of distribution", claim.predict(inputs).argmax(1), answers
                )
            )
        return tuple(figures)

    @staticmethod
    def _figure(metric: str, made: Integers, wanted: Integers) -> Figure:
        hits, n = int(np.sum(made == wanted)), len(wanted)
        most = int(np.bincount(wanted).max())
        return Figure(
            metric, proportion(hits, n), proportion(most, n), binomial_tail(hits, n, most / n)
        )
