"""A clock tells of another tenant at doors that share too much, and at no other."""

from __future__ import annotations

import numpy as np
import pytest

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.system.tenant_timing import ActivityTiming, PrefixTiming
from strongroom.exposure.cell import Figure
from strongroom.exposure.controls.doors import Kind, door
from strongroom.exposure.interface import Attack, Budget, Knowledge, Knows, Scores
from strongroom.exposure.judge.severity import clear_of_null
from strongroom.exposure.judge.timing import TimingJudge
from strongroom.exposure.subjects.system import balanced
from strongroom.exposure.targets.served_system import (
    Serving,
    open_activity_rounds,
    open_prefix_rounds,
)

ROUNDS = 20
BITS = balanced(ROUNDS, 5)
BUDGET = Budget(10_000, 60.0)


def serving(url: str) -> Serving:
    return Serving(url, "m", {"caller": "k1", "other": "k2"}, lambda: 0.0)


def measured(attack: Attack, kind: Kind) -> Figure:
    with door(kind) as url:
        if isinstance(attack, PrefixTiming):
            target = open_prefix_rounds(serving(url), BITS, 3, BUDGET)
        else:
            target = open_activity_rounds(serving(url), BITS, BUDGET)
        claims = attack.run(target, Knowledge(Knows.NOTHING), BUDGET, 0)
    assert target.spent().queries > ROUNDS
    verdict = TimingJudge(BITS, "it").judge(claims)
    assert verdict.status == "measured", verdict.why
    return verdict.figures[0]


@pytest.mark.parametrize(
    ("attack", "leaky"),
    [(PrefixTiming(ROUNDS), "shared prefixes"), (ActivityTiming(ROUNDS), "shared turns")],
)
def test_a_door_that_shares_is_told_and_one_that_does_not_is_not(
    attack: Attack, leaky: Kind
) -> None:
    found = measured(attack, leaky)
    assert found.measured.value > 0.9
    assert clear_of_null(found)
    silent = measured(attack, "neither")
    assert not (silent.measured.value > 0.9 and clear_of_null(silent))


def test_the_judge_s_bits_decide() -> None:
    chance = np.random.default_rng(0)
    bits = balanced(200, 1)
    told = [Scores(400, np.array(bits) + chance.normal(0, 0.1, 200))]
    assert TimingJudge(bits, "it").judge(told).figures[0].measured.value > 0.99
    other = TimingJudge(balanced(200, 2), "it").judge(told).figures[0]
    assert other.measured.interval.holds(0.5)
    noise = TimingJudge(bits, "it").judge([Scores(400, chance.normal(size=200))])
    assert noise.figures[0].measured.interval.holds(0.5)
    assert noise.severity == "none"


def test_any_first_rounds_have_both_sorts() -> None:
    for seed in range(20):
        assert sum(balanced(200, seed)[:20]) == 10
    assert balanced(200, 1) != balanced(200, 2)


def test_few_rounds_are_not_enough_and_scores_must_fit() -> None:
    few = TimingJudge([True, False] * 4, "it").judge([Scores(8, np.zeros(8))])
    assert few.status == "not_measurable"
    with pytest.raises(TypeError):
        TimingJudge([True, False], "it").judge([Scores(8, np.zeros(8))])


def test_a_refusal_spoils_a_round_and_says_so() -> None:
    gone = Serving("http://127.0.0.1:9", "m", {"caller": "a", "other": "b"}, lambda: 0.0)
    with pytest.raises(ExposureRefused) as caught:
        open_prefix_rounds(gone, [True], 0, BUDGET).times(0)
    assert caught.value.code == "exposure.endpoint_failed"
