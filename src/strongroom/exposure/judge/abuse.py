"""Abuse: what does an attacker make the service spend, and do the limits hold?

Costs: amounts add up request by request; what each request added is one observation, and the
interval of the ratio is the bootstrap's over requests. The null is benign use against itself.
Limits: counts are exact, and a control without a limit shows that the drill went far enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from strongroom.exposure.cell import CurvePoint, Estimate, Figure, Interval
from strongroom.exposure.interface import Claim, Spending
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess

LEAST = 3
_STEPS = (1.0, 3.0, 9.0)
_ROUNDS = 2000
_ENDS = (0.025, 0.975)


class AbuseJudge(Judge):
    """Holds nothing but what the amounts mean.

    Args:
        headline: the amount that counts.
        unit: its unit, for the sentence.
        why: what the figure does not show.
        seed: of the bootstrap.
    """

    def __init__(self, headline: str, unit: str, *, why: str = "", seed: int = 0) -> None:
        self._headline = headline
        self._unit = unit
        self._why = why
        self._seed = seed

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Spending)
        spent = [claim for claim in claims if isinstance(claim, Spending)]
        if len(spent) < LEAST:
            return not_measurable(f"Needs {LEAST} requests of each sort, there are {len(spent)}.")
        attacked = np.array([claim.attacked[self._headline] for claim in spent])
        benign = np.array([claim.benign[self._headline] for claim in spent])
        if not benign[0] > 0:
            return not_measurable(f"Benign use cost no {self._unit} that could be counted.")
        one, other = np.diff(attacked, prepend=0.0), np.diff(benign, prepend=0.0)
        measured = self._ratio(one, other)
        null = self._ratio(other, other)
        drawn, usual = self._drawn(one, other), self._drawn(other, other)
        p = float((usual >= measured.value).mean()) if drawn.size else 1.0
        head = Figure(f"times the {self._headline} of benign use", measured, null, p)
        last = spent[-1]
        figures = [
            Figure(
                name,
                _exact(last.attacked[name], last.queries),
                _exact(last.benign.get(name, 0.0), last.queries),
            )
            for name in sorted(last.attacked)
        ]
        ratios = [
            CurvePoint(claim.queries, _exact(float(a / b), claim.queries))
            for claim, a, b in zip(spent, attacked, benign, strict=True)
        ]
        return Verdict(
            status="measured",
            why=self._why,
            sentence=f"{len(spent)} costly requests burnt {attacked[-1]:,.2f} {self._unit}; as "
            f"many benign ones burn {benign[-1]:,.2f}.",
            figures=(head, *figures),
            curve=tuple(ratios),
            severity=of_excess(head, _STEPS),
        )

    def _ratio(self, one: np.ndarray, other: np.ndarray) -> Estimate:
        value = float(one.sum() / other.sum())
        low, high = np.quantile(self._drawn(one, other), _ENDS)
        interval = Interval(min(float(low), value), max(float(high), value))
        return Estimate(value, interval, len(one), f"bootstrap over requests, {_ROUNDS} rounds")

    def _drawn(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Ratios of sums, requests of either sort drawn with replacement."""
        chance = np.random.default_rng(self._seed)
        n = len(one)
        over = one[chance.integers(0, n, (_ROUNDS, n))].sum(1)
        under = other[chance.integers(0, n, (_ROUNDS, n))].sum(1)
        ratios: np.ndarray = over / np.maximum(under, 1e-9)
        return ratios


class LimitJudge(Judge):
    """Holds what each arm of a drill was allowed.

    Args:
        allowed: requests by arm.
        control: the arm without a limit.
        why: what the figure does not show.
    """

    def __init__(self, allowed: Mapping[str, float], control: str, *, why: str = "") -> None:
        self._allowed = dict(allowed)
        self._control = control
        self._why = why

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Spending)
        claim = claims[-1]
        got: Mapping[str, float] = claim.attacked  # type: ignore[attr-defined]
        free = got.get(self._control, 0.0)
        if free <= max(self._allowed.values()):
            return not_measurable(
                f"Without a limit {free:.0f} requests were answered: the drill shows no limit."
            )
        worst = max(got.get(arm, 0.0) / most for arm, most in self._allowed.items())
        n = claim.queries
        head = Figure(
            "most that was had, over what is allowed",
            _exact(worst, n),
            _exact(1.0, n),
            0.0 if worst > 1 else 1.0,
        )
        arms = [
            Figure(f"requests answered, {arm}", _exact(got.get(arm, 0.0), n), _exact(most, n))
            for arm, most in self._allowed.items()
        ]
        said = ", ".join(
            f"{arm} {got.get(arm, 0.0):.0f} of {most:.0f}" for arm, most in self._allowed.items()
        )
        return Verdict(
            status="measured",
            why=self._why,
            sentence=f"Answered of what the limits allow: {said}; {self._control}: {free:.0f}.",
            figures=(head, *arms),
            severity="critical" if worst > 1 else "none",
        )


def _exact(value: float, n: int) -> Estimate:
    return Estimate(value, Interval(value, value), n, "counted")
