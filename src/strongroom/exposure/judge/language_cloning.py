"""Cloning of a language model: does the student go on as the model would?

Headline: the share of places in held-out texts at which the student's likeliest next token is the
model's, beside the null: what agrees without a single query, the public base where the attacker has
it, else always the model's commonest token. Further: the same on the texts' words in another order,
and how much of the model's perplexity on the texts is kept. Places of one text hang together: texts
are what the bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from strongroom.exposure.cell import CurvePoint, Estimate, Figure
from strongroom.exposure.interface import Claim, Floats, Integers, LanguageClone
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.bootstrap import ROUNDS, bootstrap

Predict = Callable[[Sequence[Sequence[int]]], list[tuple[Integers, Floats]]]
Said = list[tuple[Integers, Floats]]

LEAST = 12
_STEPS = (0.1, 0.2, 0.4)


class LanguageCloningJudge(Judge):
    """Holds texts that nobody was asked about, and what the model says of them.

    Args:
        held: rows of tokens.
        foreign: rows of tokens of another distribution.
        model: what the model says of rows.
        base: what the public base says of them, or None.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        held: Sequence[Sequence[int]],
        foreign: Sequence[Sequence[int]],
        model: Predict,
        base: Predict | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self._held, self._foreign = list(held), list(foreign)
        self._model, self._base = model, base
        self._seed = seed

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, LanguageClone)
        if len(self._held) < LEAST:
            return not_measurable(f"Needs {LEAST} held-out texts, there are {len(self._held)}.")
        truth = self._model(self._held)
        null = self._null(self._held, truth)
        curve, made = [], truth
        for claim in claims:
            if isinstance(claim, LanguageClone):
                made = claim.predict(self._held)
                curve.append(CurvePoint(claim.queries, self._mean(_agreeing(made, truth))))
        figures = [self._figure("agreement", _agreeing(made, truth), null)]
        last = claims[-1]
        if self._foreign and isinstance(last, LanguageClone):
            other = self._model(self._foreign)
            agreed = _agreeing(last.predict(self._foreign), other)
            nothing = self._null(self._foreign, other)
            figures.append(self._figure("agreement out of distribution", agreed, nothing))
        figures += self._kept(made, truth)
        said = f"{last.queries:,} queries taught a student {figures[0].measured.value:.0%} of its"
        return Verdict(
            status="measured",
            sentence=f"{said} next tokens; without one, {figures[0].null.value:.0%} agree.",
            figures=tuple(figures),
            curve=tuple(curve),
            severity=of_excess(figures[0], _STEPS),
        )

    def _null(self, rows: Sequence[Sequence[int]], truth: Said) -> Floats:
        if self._base is not None:
            return _agreeing(self._base(rows), truth)
        commonest = int(np.bincount(np.concatenate([best for best, _ in truth])).argmax())
        return np.array([float(np.mean(best == commonest)) for best, _ in truth])

    def _figure(self, metric: str, agreed: Floats, null: Floats) -> Figure:
        """The p-value is of the paired texts: how seldom the bootstrap sees no gain."""
        gain = agreed - null
        chance = np.random.default_rng(self._seed)
        drawn = [gain[chance.integers(0, len(gain), len(gain))].mean() for _ in range(ROUNDS)]
        p = (1 + sum(value <= 0 for value in drawn)) / (1 + ROUNDS)
        return Figure(metric, self._mean(agreed), self._mean(null), float(p))

    def _kept(self, made: Said, truth: Said) -> list[Figure]:
        """The model's perplexity over the student's, and over the base's, text by text."""
        ours = np.array([float(np.mean(scores)) for _, scores in truth])

        def ratio(said: Said) -> Estimate:
            theirs = np.array([float(np.mean(scores)) for _, scores in said])
            return bootstrap(
                theirs - ours, lambda rows: float(np.exp(rows.mean())), seed=self._seed
            )

        if self._base is None:
            return []
        return [Figure("perplexity kept", ratio(made), ratio(self._base(self._held)))]

    def _mean(self, values: Floats) -> Estimate:
        return bootstrap(values, seed=self._seed)


def _agreeing(made: Said, truth: Said) -> Floats:
    """Of each text the share of places where both name the same token."""
    pairs = zip(made, truth, strict=True)
    return np.array([float(np.mean(mine[0] == theirs[0])) for mine, theirs in pairs])
