"""What must hold before an adapter leaves, or is promoted. A check that cannot be made fails.

To leave, in this order:

1. it was trained for enough steps;
2. fewer adapters of this base than the limit have left to this organisation, whatever their names;
3. none of those was trained on the same data: repeats average out what protects the base;
4. their epsilons and its own add up to no more than the limit, if there is one;
5. its matrices are not, at the middle of them all, close to one direction (a tripwire);
6. the gradient oracle reads no hidden activation from any, and could judge nearly all;
7. nothing like the base's weights comes out of it and of what left before;
8. its training records cannot be told from others;
9. canaries planted among them cannot be told from their like.

To be promoted:

10. its loss on held-out conversations is no worse than the base's by more than the limit;
11. no trigger that was probed moves it much further from the base than plain prompts do;
12. no phrase of its training data brings that data's answer after prompts of another kind.

Pure: figures in, verdict out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from strongroom.tune.export.limits import MOST_CANARY_BITS, ExportLimits

_JUDGED: Final = 0.9
"""Share of the places that the oracle must have been able to judge."""

Outcome = Literal["passed", "failed", "waived"]


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One check; ``code`` refuses if it failed. ``value`` None: it could not be made."""

    name: str
    code: str
    value: float | None
    limit: float
    outcome: Outcome
    note: str = ""


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All checks of one adapter."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether there were checks and none failed."""
        return bool(self.checks) and not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed, in order."""
        return tuple(check for check in self.checks if check.outcome == "failed")


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What left before to the same organisation for the same base: count, data, sum of epsilons.

    ``epsilon`` None: one of them at least had no bound.
    """

    count: int
    datasets: tuple[str, ...]
    epsilon: float | None = 0.0


def to_leave(
    limits: ExportLimits,
    history: History,
    *,
    steps: int,
    dataset: str,
    epsilon: float | None,
    ratios: Sequence[float],
    oracle: Sequence[float | None],
    merges: Sequence[float],
    auc: float | None,
    bits: float | None,
) -> Verdict:
    """Checks 1 to 9.

    Args:
        limits, history: the owner's, and what left before.
        steps, dataset, epsilon: of the job; ``epsilon`` None: trained without a bound.
        ratios: ``oracle.ratios``.
        oracle, merges: cosines, one a place; of the oracle's None where it could not judge.
        auc, bits: None where nothing was given to measure them.
    """
    repeats = float(history.datasets.count(dataset))
    spent = None if epsilon is None or history.epsilon is None else history.epsilon + epsilon
    read = [each for each in oracle if each is not None]
    largest = max(read) if read and len(read) >= _JUDGED * len(oracle) else None
    ratio = statistics.median(ratios) if ratios else math.nan
    return Verdict(
        (
            _least("optimiser steps", "tune.export_too_short", steps, limits.least_steps),  # (1)
            _most("exports with this", "tune.export_budget", history.count + 1, limits.most),  # (2)
            _most("exports from the same data", "tune.export_repeated_data", repeats, 0.0),  # (3)
            _epsilon(spent, limits),  # (4)
            _least("second singular value of first", "tune.export_direction", ratio, limits.ratio),
            _most("gradient oracle, cosine", "tune.export_oracle", largest, limits.cosine),  # (6)
            _most(
                "weights from all exports, cosine",
                "tune.export_merges",
                max(merges, default=None),
                limits.cosine,
            ),  # (7)
            _waivable("membership, AUC", "tune.export_membership", auc, limits.auc, 1.0),  # (8)
            _waivable(
                "canaries, bits", "tune.export_canaries", bits, limits.canary_bits, MOST_CANARY_BITS
            ),  # (9)
        )
    )


def to_be_promoted(
    limits: ExportLimits,
    before: float | None,
    after: float | None,
    moved: Sequence[float],
    obeyed: float | None,
    turns: int = 0,
) -> Verdict:
    """Checks 10 to 12.

    Args:
        before, after: mean loss of the base and of the adapter on held-out conversations.
        moved: divergence from the base without a trigger, then with each.
        obeyed: ``ties.obeyed`` of the phrase that is obeyed most; None without the data.
        turns: of the data, in which that phrase goes with its answer.
    """
    worse = None
    if before is not None and after is not None and before > 0:
        worse = max(0.0, after / before - 1.0)
    furthest = None
    if len(moved) > 1:
        # a hundredth of a nat more is nothing, whatever the ratio
        furthest = max(moved[1:]) / max(moved[0], 0.01)
    obeying = _waivable(
        "answer that a phrase of the data brings, share",
        "tune.promote_phrase",
        obeyed,
        limits.obeyed,
        1.0,
    )
    if obeyed and not obeying.note:
        obeying = msgspec.structs.replace(obeying, note=f"the phrase stands in {turns} turns")
    return Verdict(
        (
            _most(
                "held-out loss above the base's, share", "tune.promote_worse", worse, limits.worse
            ),
            _most(
                "divergence at a trigger, times", "tune.promote_trigger", furthest, limits.trigger
            ),
            obeying,
        )
    )


def _epsilon(spent: float | None, limits: ExportLimits) -> Check:
    name, code = "epsilon of all exports", "tune.export_epsilon"
    if limits.epsilon == 0:
        return Check(name, code, spent, 0.0, "waived", "no limit is set")
    return _most(name, code, spent, limits.epsilon)


def _waivable(name: str, code: str, value: float | None, limit: float, top: float) -> Check:
    if limit >= top:
        return Check(name, code, value, limit, "waived", "the owner allows any")
    return _most(name, code, value, limit)


def _least(name: str, code: str, value: float, limit: float) -> Check:
    good = math.isfinite(value) and value >= limit
    return Check(name, code, _rounded(value), limit, "passed" if good else "failed", "at least")


def _most(name: str, code: str, value: float | None, limit: float) -> Check:
    if value is None or not math.isfinite(value):
        return Check(name, code, None, limit, "failed", "could not be measured")
    return Check(name, code, _rounded(value), limit, "passed" if value <= limit else "failed")


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
