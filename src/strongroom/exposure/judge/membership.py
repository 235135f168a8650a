"""Membership inference: was this record trained on?

Headline: the area under the ROC curve (DeLong) beside that of the same scores under permuted bits.
Further figures: the true-positive rate at 1 % and 0.1 % false positives, where measurable; its null
is the false-positive rate that the same threshold had on non-members that did not set it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strongroom.exposure.cell import CurvePoint, Estimate, Figure, RecordRisk
from strongroom.exposure.interface import Claim, Scores
from strongroom.exposure.judge.blind import blind_baseline
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.auc import auc, auc_p_value
from strongroom.exposure.measurement.low_fpr import needed, roc, tpr_at
from strongroom.exposure.measurement.permutation import permuted_auc
from strongroom.exposure.measurement.proportions import binomial_tail

LEAST = 20
"""Members, and others, below which not even the area is stated."""

RATES = (0.01, 0.001)
_STEPS = (0.1, 0.2, 0.35)


class MembershipJudge(Judge):
    """Holds who is a member.

    Args:
        bits: booleans (n,), in the order of the records asked about.
        features: (n, width) of the records alone, for the blind baseline.
        seed: of permutations and halvings.
        indices: each record's place in the owner's data; its own by default.
    """

    def __init__(
        self,
        bits: np.ndarray,
        features: np.ndarray,
        *,
        seed: int = 0,
        indices: Sequence[int] | None = None,
    ) -> None:
        self._bits = np.asarray(bits, dtype=bool)
        self._features = features.reshape(len(features), -1)
        self._seed = seed
        self._indices = list(range(len(bits))) if indices is None else list(indices)
        self._blind: tuple[Estimate, bool] | None = None

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Scores)
        members, others = int(self._bits.sum()), int((~self._bits).sum())
        if min(members, others) < LEAST:
            return not_measurable(
                f"Needs {LEAST} members and {LEAST} others, there are {members} and {others}."
            )
        baseline, separates = self._baseline()
        if separates:
            return Verdict(
                status="refused",
                why="Members and others differ without the model being asked: a blind baseline "
                f"reaches AUC {baseline.value:.2f}. Give members and others of one origin.",
            )
        curve = tuple(
            CurvePoint(claim.queries, auc(*self._split(claim.scores)))
            for claim in claims
            if isinstance(claim, Scores)
        )
        return self._verdict(claims[-1].scores, curve)  # type: ignore[attr-defined]

    def _baseline(self) -> tuple[Estimate, bool]:
        if self._blind is None:
            self._blind = blind_baseline(self._features, self._bits, seed=self._seed)
        return self._blind

    def _split(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if scores.shape != self._bits.shape or not np.isfinite(scores).all():
            raise TypeError("a claim has one finite score for each record asked about")
        return scores[self._bits], scores[~self._bits]

    def _verdict(self, scores: np.ndarray, curve: tuple[CurvePoint, ...]) -> Verdict:
        members, others = self._split(scores)
        area = Figure(
            "AUC",
            auc(members, others),
            permuted_auc(scores, self._bits, seed=self._seed),
            auc_p_value(members, others),
        )
        rates = [figure for rate in RATES if (figure := self._rate(members, others, rate))]
        missing = [
            f"TPR at {rate:.1%} FPR needs {needed(rate):,} non-members, there are {len(others):,}"
            for rate in RATES[len(rates) :]
        ]
        return Verdict(
            status="measured",
            why="; ".join(missing),
            sentence=_sentence(area, rates),
            figures=(area, *rates),
            curve=curve,
            roc=roc(members, others),
            records=self._risks(scores, others),
            severity=of_excess(area, _STEPS),
        )

    def _rate(self, members: np.ndarray, others: np.ndarray, rate: float) -> Figure | None:
        found = tpr_at(members, others, rate, seed=self._seed)
        if found is None:
            return None
        hits = round(found.tpr.value * found.tpr.n)
        p = binomial_tail(hits, found.tpr.n, max(rate, found.found_fpr.value))
        return Figure(f"TPR at {rate:.1%} FPR", found.tpr, found.found_fpr, p)

    def _risks(self, scores: np.ndarray, others: np.ndarray) -> tuple[RecordRisk, ...]:
        """Share of non-members that score below each record: 1 is fully exposed."""
        below = np.searchsorted(np.sort(others), scores, side="left") / len(others)
        return tuple(
            RecordRisk(index, round(float(risk), 4), bool(bit))
            for index, risk, bit in zip(self._indices, below, self._bits, strict=True)
        )


def _sentence(area: Figure, rates: Sequence[Figure]) -> str:
    told = f"Told a trained-on record from another in {area.measured.value:.0%} of pairs"
    if rates:
        told += f"; named {rates[0].measured.value:.1%} of them at {rates[0].metric[7:]}"
    return told + "."
