"""Evasion: how many records that the model gets right does a bounded change make it get wrong?

The judge looks at every input itself: one that leaves the input range or the allowed distance
counts as a failure, and so does one that the model still gets right. Null: random noise of the
full distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from strongroom.exposure.cell import CurvePoint, Estimate, Figure
from strongroom.exposure.interface import Claim, Floats, Inputs, Integers, Records
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.proportions import binomial_tail, proportion

LEAST = 20
_STEPS = (0.1, 0.3, 0.6)


class EvasionJudge(Judge):
    """Holds the model's answers.

    Args:
        asked: the records that were to be perturbed.
        answer: inputs to the model's labels.
        epsilon: largest change of any value, in units of the inputs.
        bounds: least and largest value of an input.
        seed: of the null's noise.
    """

    def __init__(
        self,
        asked: Records,
        answer: Callable[[Floats], Integers],
        *,
        epsilon: float,
        bounds: tuple[float, float],
        seed: int = 0,
    ) -> None:
        self._asked = asked
        self._answer = answer
        self._epsilon = epsilon
        self._bounds = bounds
        self._seed = seed

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Inputs)
        right = self._answer(self._asked.inputs) == self._asked.labels
        n = int(right.sum())
        if n < LEAST:
            return not_measurable(f"Needs {LEAST} records that the model gets right, it gets {n}.")
        noise = self._wrong(self._noise(), right)
        points = []
        for claim in claims:
            if isinstance(claim, Inputs):
                points.append(CurvePoint(claim.queries, self._wrong(claim.inputs, right)))
        found = points[-1].measured
        p = binomial_tail(round(found.value * n), n, max(noise.value, 1 / (n + 1)))
        figure = Figure("success", found, noise, p)
        return Verdict(
            status="measured",
            sentence=f"Changes of at most {self._epsilon:g} a value misled it on {found.value:.0%} "
            f"of the records it gets right; noise of that size on {noise.value:.0%}.",
            figures=(figure,),
            curve=tuple(points),
            severity=of_excess(figure, _STEPS),
        )

    def _wrong(self, inputs: Floats, right: np.ndarray) -> Estimate:
        clean = self._asked.inputs
        if inputs.shape != clean.shape:
            raise TypeError("a claim has one input for each record asked about")
        axes = tuple(range(1, clean.ndim))
        slack = 1e-4 * (self._bounds[1] - self._bounds[0])
        near = np.abs(inputs - clean).max(axis=axes) <= self._epsilon + slack
        low, high = self._bounds
        within = (inputs.min(axis=axes) >= low) & (inputs.max(axis=axes) <= high)
        sound = np.isfinite(inputs).all(axis=axes) & near & within
        misread = np.zeros(len(clean), dtype=bool)
        if sound.any():
            misread[sound] = self._answer(inputs[sound]) != self._asked.labels[sound]
        return proportion(int((misread & right).sum()), int(right.sum()))

    def _noise(self) -> Floats:
        chance = np.random.default_rng(self._seed)
        signs = chance.choice([-1.0, 1.0], self._asked.inputs.shape)
        noisy = (self._asked.inputs + self._epsilon * signs).astype(np.float32)
        return np.clip(noisy, *self._bounds)
