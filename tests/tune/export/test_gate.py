"""Every check, on either side of its limit; what could not be measured fails."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.tune.export.gate import History, Verdict, to_be_promoted, to_leave
from strongroom.tune.export.limits import ExportLimits

LIMITS = ExportLimits()
GOOD: dict[str, Any] = {
    "steps": 20,
    "dataset": "d",
    "epsilon": None,
    "ratios": [0.1, 0.5, 0.6],
    "oracle": [0.0, 0.04],
    "merges": [0.0, 0.01],
    "auc": 0.6,
    "bits": 1.5,
}


def failed(
    limits: ExportLimits = LIMITS, history: History | None = None, **other: Any
) -> list[str]:
    verdict = to_leave(limits, history or History(0, ()), **(GOOD | other))
    assert verdict.passed == (not verdict.failures)
    return [check.code.removeprefix("tune.export_") for check in verdict.failures]


def test_a_good_adapter_leaves() -> None:
    assert failed() == []
    assert failed(oracle=[0.0] * 9 + [None]) == []  # one place of ten could not be judged


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"steps": 19}, "too_short"),
        ({"ratios": [0.1, 0.29, 0.9]}, "direction"),
        ({"ratios": [float("nan")] * 3}, "direction"),
        ({"ratios": []}, "direction"),
        ({"oracle": [0.0, 0.06]}, "oracle"),
        ({"oracle": [0.0] * 8 + [None]}, "oracle"),
        ({"oracle": [0.06] + [0.0] * 9 + [None]}, "oracle"),
        ({"oracle": [None] * 3}, "oracle"),
        ({"oracle": []}, "oracle"),
        ({"merges": [0.06]}, "merges"),
        ({"merges": []}, "merges"),
        ({"auc": 0.71}, "membership"),
        ({"auc": None}, "membership"),
        ({"bits": 3.1}, "canaries"),
        ({"bits": None}, "canaries"),
        ({"bits": float("inf")}, "canaries"),
    ],
)
def test_each_limit_holds(other: dict[str, Any], code: str) -> None:
    assert failed(**other) == [code]


def test_what_left_before_counts() -> None:
    assert failed(history=History(3, ("a", "b", "c"))) == []
    assert failed(history=History(4, ("a", "b", "c", "e"))) == ["budget"]
    assert failed(history=History(1, ("d",))) == ["repeated_data"]


def test_epsilons_add_up_where_there_is_a_limit() -> None:
    bounded = ExportLimits(epsilon=8.0)
    assert failed(bounded, History(1, ("a",), 4.0), epsilon=4.0) == []
    assert failed(bounded, History(1, ("a",), 4.0), epsilon=4.1) == ["epsilon"]
    assert failed(bounded, History(1, ("a",), None), epsilon=1.0) == ["epsilon"]
    assert failed(bounded, epsilon=None) == ["epsilon"]


def test_a_limit_that_nothing_exceeds_asks_for_no_measurement() -> None:
    assert failed(ExportLimits(auc=1.0, canary_bits=6.0), auc=None, bits=None) == []


def test_promotion_needs_a_loss_no_worse_and_quiet_triggers() -> None:
    def codes(*figures: Any, obeyed: float | None = 0.0) -> list[str]:
        return [check.code for check in to_be_promoted(LIMITS, *figures, obeyed).failures]

    assert codes(2.0, 1.9, [0.1, 0.2, 0.3]) == []
    assert codes(2.0, 2.1, [0.1, 0.2]) == ["tune.promote_worse"]
    assert codes(2.0, 1.9, [0.1, 0.2, 0.5]) == ["tune.promote_trigger"]
    assert codes(None, None, []) == ["tune.promote_worse", "tune.promote_trigger"]
    assert codes(2.0, 1.9, [0.0, 0.03]) == []
    assert codes(2.0, 1.9, [0.1, 0.2], obeyed=0.9) == ["tune.promote_phrase"]
    assert codes(2.0, 1.9, [0.1, 0.2], obeyed=None) == ["tune.promote_phrase"]


def test_an_owner_who_wants_keywords_waives_the_test_of_phrases() -> None:
    for obeyed in (0.9, None):
        verdict = to_be_promoted(ExportLimits(obeyed=1.0), 2.0, 1.9, [0.1, 0.2], obeyed, 7)
        assert (verdict.passed, verdict.checks[-1].outcome) == (True, "waived")
    told = to_be_promoted(LIMITS, 2.0, 1.9, [0.1, 0.2], 0.9, 7).checks[-1]
    assert "7 turns" in told.note


def test_no_checks_are_no_pass() -> None:
    assert not Verdict(()).passed
