"""Abuse: what does an attacker make the service spend, beside benign use of as many requests?

Amounts are counted, not sampled: the interval of an exact count is the count. The ratio is the
headline; a budget that held shows as a ratio that stopped growing.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.exposure.cell import CurvePoint, Estimate, Figure, Interval
from strongroom.exposure.interface import Claim, Spending
from strongroom.exposure.judge.interface import Judge, Verdict, last_of
from strongroom.exposure.judge.severity import of_excess

_STEPS = (1.0, 3.0, 9.0)


class AbuseJudge(Judge):
    """Holds nothing but what the amounts mean.

    Args:
        headline: the amount that counts.
        unit: its unit, for the sentence.
    """

    def __init__(self, headline: str, unit: str) -> None:
        self._headline = headline
        self._unit = unit

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Spending)
        curve = []
        for claim in claims:
            if isinstance(claim, Spending):
                curve.append(CurvePoint(claim.queries, _exact(self._ratio(claim), claim.queries)))
        last = claims[-1]
        attacked = last.attacked[self._headline]  # type: ignore[attr-defined]
        benign = last.benign[self._headline]  # type: ignore[attr-defined]
        figures = [
            Figure(
                f"times the {self._headline} of benign use",
                curve[-1].measured,
                _exact(1.0, last.queries),
                0.0 if curve[-1].measured.value > 1 else 1.0,
            )
        ]
        others = sorted(set(last.attacked) | {self._headline})  # type: ignore[attr-defined]
        figures += [
            Figure(
                name,
                _exact(last.attacked.get(name, 0.0), last.queries),  # type: ignore[attr-defined]
                _exact(last.benign.get(name, 0.0), last.queries),  # type: ignore[attr-defined]
            )
            for name in others
        ]
        return Verdict(
            status="measured",
            sentence=f"{last.queries:,} requests burnt {attacked:,.0f} {self._unit}; benign ones "
            f"burn {benign:,.0f}.",
            figures=tuple(figures),
            curve=tuple(curve),
            severity=of_excess(figures[0], _STEPS),
        )

    def _ratio(self, claim: Spending) -> float:
        benign = claim.benign[self._headline]
        return claim.attacked[self._headline] / benign if benign else float("inf")


def _exact(value: float, n: int) -> Estimate:
    return Estimate(value, Interval(value, value), n, "counted")
