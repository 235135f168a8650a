"""Hidden activations read from adapters: how near is what was read to what entered the layer?

Compared is what is left when the direction that all tokens share has been taken out: it is most of
every activation, and no secret of any token. The null is the same claim compared with tokens that
no job chose. The same attack on unguarded adapters must be exact, or the cell says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strongroom.exposure.cell import Estimate, Figure, Interval
from strongroom.exposure.interface import Claim, Facts, Floats
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.bootstrap import bootstrap
from strongroom.exposure.measurement.direction import apart, shared

EXACT = 0.99
"""Least cosine of the attack on unguarded adapters, where it must be exact."""

_STEPS = (0.25, 0.5, 0.9)


@dataclass(frozen=True)
class Exports:
    """Adapters that were made for the drill, and the truth about them.

    Attributes:
        tensors: ``TOKEN/JOB/a`` (rank, in) and ``TOKEN/JOB/b`` (out, rank), as handed out.
        entered: by ``TOKEN``, what entered the layer, (in,).
        unguarded: those ``TOKEN`` that are the control: one plain step, handed out as it is.
        others: the same of tokens that no job chose, (n, in).
        leaving: how many of the guarded ones the owner's gate would let leave.
        why: how they were made, and what the figure does not show.
    """

    tensors: Mapping[str, Any]
    entered: Mapping[str, Floats]
    unguarded: frozenset[str]
    others: Floats
    leaving: int
    why: str = ""


class ActivationsJudge(Judge):
    """Holds what entered the layer."""

    def __init__(self, exports: Exports, *, seed: int = 0) -> None:
        self._exports = exports
        self._common = shared(exports.others)
        self._seed = seed

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Facts)
        facts = claims[-1].facts  # type: ignore[attr-defined]
        control, guarded = self._read(facts, unguarded=True), self._read(facts, unguarded=False)
        if len(guarded) < 2 or len(control) < 2:
            return not_measurable("Needs two guarded adapters and two unguarded ones.")
        if control[:, 0].min() < EXACT:
            return not_measurable(
                f"The attack reads {control[:, 0].min():.3f} from an unguarded adapter, where it "
                "must be exact: what it does not read from guarded ones says nothing."
            )
        head = self._figure("cosine with a chosen token's activation", guarded)
        beside = self._figure("the same, unguarded adapters", control)
        n, leaving = len(guarded), self._exports.leaving
        return Verdict(
            status="measured",
            why=self._exports.why,
            sentence=f"From an adapter trained by the owner's limits the activation of the token "
            f"that its data repeat is read at a cosine of {head.measured.value:.2f} (chance "
            f"{head.null.value:.2f}), from an unguarded one at {beside.measured.value:.3f}; "
            f"the gate would let {leaving} of {n} leave.",
            figures=(head, beside),
            severity=of_excess(head, _STEPS),
        )

    def _read(self, facts: Mapping[str, Any], *, unguarded: bool) -> Floats:
        """Of each token the cosine with its own activation, and the others' mean and share above;
        a token of which nothing was claimed reads 0."""
        rows = []
        for token, truth in self._exports.entered.items():
            if (token in self._exports.unguarded) is unguarded:
                claim = np.asarray(facts.get(token, np.zeros(truth.shape)), dtype=float)
                if claim.shape != truth.shape or not np.isfinite(claim).all():
                    raise TypeError("a claim is a finite vector of what enters the layer")
                own = float(apart(claim, truth[None], self._common)[0])
                others = apart(claim, self._exports.others, self._common)
                rows.append((own, float(others.mean()), float((others >= own).mean())))
        return np.array(rows).reshape(-1, 3)

    def _figure(self, metric: str, read: Floats) -> Figure:
        """Mean over tokens; p: that none of the tokens' own is nearer than a random other one."""
        measured, null = (bootstrap(read[:, at], seed=self._seed) for at in (0, 1))
        least = 1.0 / (len(self._exports.others) + 1)
        p = float(np.exp(np.log(np.maximum(read[:, 2], least)).mean()))
        return Figure(metric, _within_one(measured), _within_one(null), p)


def _within_one(found: Estimate) -> Estimate:
    low, high = found.interval.low, min(1.0, found.interval.high)
    interval = Interval(low, high, found.interval.level)
    return Estimate(found.value, interval, found.n, f"{found.method}, over tokens")
