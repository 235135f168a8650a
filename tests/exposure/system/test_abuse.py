"""Costs and limits: what costs more is seen, what costs the same is not; limits that leak are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.exposure.attacks.system.many_keys import ALLOWED, ARMS, LEAKED, LIMIT, ManyKeys
from strongroom.exposure.attacks.system.sponge import Sponge
from strongroom.exposure.controls.doors import door
from strongroom.exposure.interface import Attack, Budget, Knowledge, Knows, Spending
from strongroom.exposure.judge.abuse import AbuseJudge, LimitJudge
from strongroom.exposure.judge.interface import Verdict
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.served_system import (
    Serving,
    open_callers,
    processor_seconds,
)
from strongroom.exposure.targets.system import Answered, Load
from tests.exposure.made import cell, results

BUDGET = Budget(1000, 60.0)
LANGUAGE = Knowledge(Knows.NOTHING, public={"context": 2048})
CLASSIFIER = Knowledge(Knows.NOTHING, public={"context": 0})


class Fake:
    """A door whose requests cost what ``price`` says, and whose keys are limited by ``limits``."""

    def __init__(self, price: Any, limits: dict[str, int] | None = None) -> None:
        self._meter = Meter(BUDGET.queries)
        self._price = price
        self._limits = limits or {}
        self._had: Counter[str] = Counter()
        self._chance = np.random.default_rng(0)

    def target(self) -> Any:
        return close({"ask": self._ask, "spent": self._meter.spent})

    def _ask(self, who: str, load: Load) -> Answered:
        self._meter.charge(1)
        group = who.partition("-")[0]
        if self._had[group] >= self._limits.get(group, 10**9):
            return Answered("gateway.limit_too_small", 0.001)
        self._had[group] += 1
        compute = self._price(load) * self._chance.uniform(0.9, 1.1)
        return Answered("", compute, compute, max(1, load.rows))


def cost(price: Any, known: Knowledge) -> Verdict:
    claims = Sponge().run(Fake(price).target(), known, BUDGET, 0)
    return AbuseJudge("compute seconds", "seconds").judge(claims)


@pytest.mark.parametrize(
    ("known", "price"),
    [
        (LANGUAGE, lambda load: 1.0 if "ever" in load.prompt or "stop" in load.prompt else 0.1),
        (CLASSIFIER, lambda load: 0.01 * load.rows),
    ],
)
def test_what_costs_more_is_seen(known: Knowledge, price: Any) -> None:
    verdict = cost(price, known)
    assert verdict.figures[0].measured.value > 3
    assert verdict.severity in {"high", "critical"}
    assert verdict.figures[0].null.interval.holds(1)
    assert len(verdict.curve) == Sponge().pairs
    assert msgspec.json.encode(verdict)


@pytest.mark.parametrize("known", [LANGUAGE, CLASSIFIER])
def test_what_costs_the_same_is_not(known: Knowledge) -> None:
    verdict = cost(lambda load: 0.1, known)
    assert verdict.figures[0].measured.interval.holds(1)
    assert verdict.severity == "none"


def judged(limits: dict[str, int]) -> Verdict:
    claims = ManyKeys().run(Fake(lambda load: 0.0, limits).target(), LANGUAGE, BUDGET, 0)
    return LimitJudge(ALLOWED, "no limit").judge(claims)


HELD = {"one": LIMIT, "many": LIMIT, "leaked": LEAKED}


def test_limits_that_hold() -> None:
    verdict = judged(HELD)
    assert verdict.figures[0].measured.value == 1
    assert verdict.severity == "none"
    assert "no limit: 8" in verdict.sentence


@pytest.mark.parametrize("group", sorted(HELD))
def test_a_limit_that_does_not_hold_is_critical(group: str) -> None:
    verdict = judged({**HELD, group: HELD[group] + 1})
    assert verdict.severity == "critical"
    assert verdict.figures[0].measured.value > 1


def test_without_a_control_that_goes_further_nothing_is_shown() -> None:
    assert judged({**HELD, "free": LIMIT}).status == "not_measurable"
    assert set(ALLOWED) < set(ARMS)
    nothing = LimitJudge(ALLOWED, "no limit").judge([Spending(1, {}, {})])
    assert nothing.status == "not_measurable"


def test_what_is_red_is_not_hidden_by_a_larger_number_that_is_not() -> None:
    """The family's figures are of several metrics: a ratio of 2.1 beside a share of 0.4."""
    ratio = cell("sponge", "abuse", "text", 2.1, severity="none", metric="times")
    share = cell("exfiltration", "abuse", "text", 0.7, severity="critical", metric="share")
    assert results(ratio, share).worst("abuse", Rung.TEXT) == share
    assert results(ratio).worst("abuse", Rung.TEXT) == ratio


def asked(attack: Attack, url: str) -> Any:
    keys = {name: "k" for names in ARMS.values() for name in names} | {"caller": "k"}
    serving = Serving(url, "m", keys, lambda: processor_seconds(1), context=512)
    target = open_callers(serving, BUDGET)
    return attack.run(target, LANGUAGE, BUDGET, 0), target.spent()


def test_requests_go_over_http_and_are_counted() -> None:
    with door("neither") as url:
        claims, spent = asked(ManyKeys(), url)
    assert claims[-1].attacked["four keys of one organisation"] == 2 * LIMIT
    assert spent.queries == 2 * LIMIT * len(ARMS)
    assert spent.refusals == {}
    verdict = LimitJudge(ALLOWED, "no limit").judge(claims)
    assert verdict.severity == "critical", "this door has no limits"
