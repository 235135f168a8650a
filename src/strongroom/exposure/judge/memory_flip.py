"""A bit flipped in running memory: found or not, how soon, and what became of the service.

The figure is what was missed; few flips are made, so its interval is wide. The watches without a
flip must have passed without an alarm, or finding says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strongroom.exposure.cell import Estimate, Figure, Interval, Severity
from strongroom.exposure.interface import Claim, Facts
from strongroom.exposure.judge.interface import Judge, Verdict, last_of, not_measurable
from strongroom.exposure.judge.severity import of_excess
from strongroom.exposure.measurement.proportions import binomial_tail, proportion

_STEPS = (0.05, 0.25, 0.5)


class MemoryFlipJudge(Judge):
    """Holds how long a round of the patrol is.

    Args:
        drilled: seconds of a round in the drill.
        served: the same where the model is served.
    """

    def __init__(self, drilled: float, served: float) -> None:
        self._drilled = drilled
        self._served = served

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        """See the module."""
        last_of(claims, Facts)
        facts = claims[-1].facts  # type: ignore[attr-defined]
        flipped = np.array(facts["flipped"], dtype=bool)
        waits, afresh = np.array(facts["waits"]), np.array(facts["afresh"])
        bad, good = int(flipped.sum()), int((~flipped).sum())
        if not bad or not good:
            return not_measurable("Needs watches with a flipped bit and without one.")
        ended = np.isfinite(waits)
        false, found = int((ended & ~flipped).sum()), ended & flipped
        if false == good:
            return Verdict(
                status="refused",
                why="The keeper ended without a flip as well: that it ends says nothing.",
            )
        caught = int(found.sum())
        again = int((np.isfinite(afresh) & found).sum())
        recorded = min(int(facts["recorded"]), caught)
        head = Figure(
            "missed",
            proportion(bad - caught, bad),
            Estimate(0.0, Interval(0.0, 0.0), bad, "a patrol that misses nothing"),
            binomial_tail(bad - caught, bad, 0.01),
        )
        others = [Figure("false alarms", proportion(false, good), proportion(0, good))]
        others += [
            Figure(name, _spread(values), _none(len(values)))
            for name, values in (
                ("rounds until it was found", waits[found] / self._drilled),
                ("seconds until it was served afresh", afresh[found & np.isfinite(afresh)]),
            )
            if len(values)
        ]
        whole = caught == recorded == again
        return Verdict(
            status="measured",
            why=self._why(),
            sentence=self._sentence(bad, waits[found], recorded, again, false, good),
            figures=(head, *others),
            severity=_worse(of_excess(head, _STEPS), whole=whole),
        )

    def _sentence(
        self, bad: int, waits: np.ndarray, recorded: int, again: int, false: int, good: int
    ) -> str:
        caught = len(waits)
        took = " and ".join(f"{wait:.1f}" for wait in waits)
        after = f" after {took} s" if caught else ""
        return (
            f"Found {caught} of {bad} bits flipped in the running keeper{after}; it ended each "
            f"time, {recorded} of {caught} stand in the record, {again} of {caught} were served "
            f"afresh. False alarms: {false} of {good}."
        )

    def _why(self) -> str:
        return (
            f"A round of the patrol takes {self._drilled:g} s in the drill and {self._served:g} s "
            "as served, so finding takes that much longer; the bits are of the weights as they "
            "were opened, docs/integrity.md has those of packed copies."
        )


def _spread(values: np.ndarray) -> Estimate:
    low, high = float(values.min()), float(values.max())
    return Estimate(float(values.mean()), Interval(low, high), len(values), "least and longest")


def _none(n: int) -> Estimate:
    return Estimate(0.0, Interval(0.0, 0.0), n, "at once")


def _worse(severity: Severity, *, whole: bool) -> Severity:
    """A fault that is found but neither told nor mended is no small thing."""
    return "medium" if severity == "none" and not whole else severity
