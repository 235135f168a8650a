"""Inversion: does a reconstruction show what the model was trained on, and not just the task?

Headline: how often an independent evaluator recognises the class that was asked for, beside the
null: what can be drawn of that class without the model (say, the mean of public records). A second
figure looks for records: how often a reconstruction is nearer to a member than to every one of as
many held-out records; chance is one half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from strongroom.exposure.cell import Estimate, Figure
from strongroom.exposure.interface import Claim, Floats, Integers, Reconstructions, Records
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.bootstrap import bootstrap
from strongroom.exposure.measurement.proportions import binomial_tail, proportion

LEAST = 5
_STEPS = (0.1, 0.25, 0.5)
_SLIGHT = 0.01
"""A paired difference below it is a difference of roundings, not of what was learnt."""


class InversionJudge(Judge):
    """Holds members and held-out records.

    Args:
        classes: the class asked for, of each reconstruction (n,).
        evaluate: inputs to the probabilities (n, classes) of a model trained on other records.
        without_model: (n, *shape), what the attacker can draw without the model.
        members: records that were trained on.
        held: as many that were not.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        classes: Integers,
        evaluate: Callable[[Floats], Floats],
        without_model: Floats,
        members: Records,
        held: Records,
        *,
        seed: int = 0,
    ) -> None:
        self._classes = classes
        self._evaluate = evaluate
        self._without = without_model
        self._members = members
        self._held = held
        self._seed = seed

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Reconstructions)
        if len(self._classes) < LEAST:
            return not_measurable(f"Needs {LEAST} classes, there are {len(self._classes)}.")
        inputs: Floats = claims[-1].inputs  # type: ignore[attr-defined]
        seen, null = self._recognised(inputs), self._recognised(self._without)
        paired = bootstrap(seen - null, seed=self._seed)
        recognised = Figure("recognised", self._mean(seen), self._mean(null), _p(paired))
        nearer = self._nearer(inputs)
        return Verdict(
            status="measured",
            sentence=f"An independent model recognised {seen.mean():.0%} of what was rebuilt, "
            f"and {null.mean():.0%} of what needs no model.",
            figures=(recognised, nearer),
            severity=of_excess(recognised, _STEPS) if paired.interval.low > _SLIGHT else "none",
        )

    def _recognised(self, inputs: Floats) -> np.ndarray:
        chances = self._evaluate(inputs)
        found: np.ndarray = chances[np.arange(len(inputs)), self._classes]
        return found

    def _mean(self, values: np.ndarray) -> Estimate:
        return bootstrap(values, seed=self._seed)

    def _nearer(self, inputs: Floats) -> Figure:
        n = min(len(self._members), len(self._held))
        hits = 0
        for one, wanted in zip(inputs, self._classes, strict=True):
            member = _nearest(one, self._members, wanted, n)
            held = _nearest(one, self._held, wanted, n)
            hits += member < held
        found = proportion(hits, len(inputs))
        null = proportion(len(inputs) // 2, len(inputs))
        return Figure("nearer to a member", found, null, binomial_tail(hits, len(inputs), 0.5))


def _nearest(one: np.ndarray, records: Records, wanted: int, n: int) -> float:
    """Squared distance to the nearest record of that class, scale and offset taken out."""
    rows = records.inputs[:n][records.labels[:n] == wanted].reshape(-1, one.size)
    if not len(rows):
        return float("inf")
    return float(((_standard(rows) - _standard(one.reshape(1, -1))) ** 2).sum(1).min())


def _standard(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = (rows - rows.mean(1, keepdims=True)) / (rows.std(1, keepdims=True) + 1e-9)
    return found


def _p(paired: Estimate) -> float:
    """A bootstrap interval's word on whether the difference is above zero, as a bound on p."""
    return (1 - paired.interval.level) / 2 if paired.interval.low > 0 else 1.0
