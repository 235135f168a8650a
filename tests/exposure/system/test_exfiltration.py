"""The drill against the keeper's own session: never a bit too many, and a broken meter is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.boundary.frames import Classify, Done, Generate, Labels, Refused, Sampling, Tokens
from strongroom.exposure.attacks.system.exfiltration import Exfiltration
from strongroom.exposure.interface import Budget, Facts, Knowledge, Knows
from strongroom.exposure.judge.exfiltration import Allowance, ExfiltrationJudge, bits, exceeds
from strongroom.exposure.judge.interface import Verdict
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.system import Ask, Greeting, Heard
from strongroom.keeper import egress
from strongroom.keeper.config import ScoreCaps
from strongroom.keeper.coordinates import FILE_BYTES, Coordinates
from strongroom.keeper.disclosure import Disclosure
from strongroom.keeper.generations import Terms
from strongroom.keeper.session import Session
from tests.keeper.fakes import PLENTY, VOCABULARY, Oracle, Parrot, meter

ALLOWED = 1200
BUDGET = Budget(4000, 30.0)


def channel(deployment: egress.Budget, tenant: egress.Budget, rungs: dict[str, Any]) -> Any:
    """The drill's target over a session of a language model in this process."""
    session = Session(
        Parrot(),
        Disclosure(rungs),
        Coordinates(bytearray(FILE_BYTES), ScoreCaps()),
        meter(deployment, tenant),
        lambda: 1_000_000,
        lambda: None,
        Terms({}, 1e9),
    )
    counted = Meter(BUDGET.queries)
    numbers = iter(range(1, 10**6))

    def exchange(asks: Sequence[Ask]) -> list[Heard]:
        counted.charge(len(asks))
        found: dict[int, tuple[Counter[int], str]] = {}
        frames: list[Any] = []
        for ask in asks:
            number = next(numbers)
            found[number] = (Counter(), "")
            tokens = (5, 6) if number % 3 else (5, 0)  # some of them end by themselves
            frames += session.receive(
                Generate(number, ask.tenant, tokens, ask.amount, Sampling(), ask.scores)
            )
        while session.busy:
            frames += session.step()
        for frame in frames:
            heard, code = found[frame.id]
            if isinstance(frame, Tokens):
                heard[VOCABULARY] += 1
                for each in frame.scores:
                    heard[VOCABULARY] += len(each.ids)
                    heard[2**32] += len(each.logprobs)
            elif isinstance(frame, Done):
                heard[5] += 1
                heard[VOCABULARY] += frame.reason == "stop"
                code = frame.reason
            else:
                assert isinstance(frame, Refused)
                code = frame.code
            found[frame.id] = heard, code
        return [Heard(*each) for each in found.values()]

    greeting = Greeting(VOCABULARY, rungs)
    return close({"greeting": lambda: greeting, "exchange": exchange, "spent": counted.spent})


def drilled(deployment: egress.Budget, tenant: egress.Budget, rungs: dict[str, Any]) -> Verdict:
    target = channel(deployment, tenant, rungs)
    claims = Exfiltration().run(target, Knowledge(Knows.NOTHING), BUDGET, 0)
    return ExfiltrationJudge(Allowance(ALLOWED, 24.0 * ALLOWED, 1e6)).judge(claims)


@pytest.mark.parametrize("rungs", [{"*": "text"}, {"*": "text", "rich": "topk"}])
def test_no_more_leaves_than_the_budget_whatever_the_names(rungs: dict[str, Any]) -> None:
    whole, one = egress.Budget.of_bits(ALLOWED, 1e9), egress.Budget.of_bits(ALLOWED / 3, 1e9)
    verdict = drilled(whole, one, rungs)
    assert verdict.status == "measured", verdict.why
    _, used, days = verdict.figures
    assert 0.9 < used.measured.value <= 1
    assert "and no more" in verdict.sentence
    assert days.measured.value == pytest.approx(1e6 / (24 * ALLOWED))


def test_a_meter_that_does_not_hold_is_seen() -> None:
    verdict = drilled(PLENTY, PLENTY, {"*": "text"})
    assert "MORE THAN ALLOWED" in verdict.sentence
    assert verdict.severity == "critical"
    assert verdict.figures[1].measured.value > 1
    assert verdict.figures[1].p_value == 0


def test_a_closed_model_gives_nothing_and_that_is_not_a_measurement() -> None:
    whole = egress.Budget.of_bits(ALLOWED, 1e9)
    assert drilled(whole, whole, {"*": "closed"}).status == "not_measurable"


def test_one_bit_too_many_is_too_many() -> None:
    assert not exceeds({2: 1200}, 1200)
    assert exceeds({2: 1201}, 1200)
    assert exceeds({2: 1200, 3: 1}, 1201)
    assert not exceeds({2: 1200, 3: 1}, 1202)
    judge = ExfiltrationJudge(Allowance(1200, 1e6, 1e6))
    assert judge.judge([Facts(1, {"choices": {2: 1200}})]).severity == "critical"  # one day
    assert judge.judge([Facts(1, {"choices": {2: 1201}})]).severity == "critical"
    slow = ExfiltrationJudge(Allowance(1200, 1e3, 1e9))
    assert slow.judge([Facts(1, {"choices": {2: 1200}})]).severity == "low"
    assert slow.judge([Facts(1, {"choices": {2: 1201}})]).severity == "critical"


@given(st.dictionaries(st.integers(2, 2**32), st.integers(0, 50), max_size=5))
def test_bits_agree_with_the_exact_comparison(choices: dict[int, int]) -> None:
    found = bits(choices)
    assert not exceeds(choices, int(np.ceil(found + 1e-6)))
    if found >= 1:
        assert exceeds(choices, int(np.floor(found - 1e-6)))


def test_a_classifier_s_labels_are_metered_too() -> None:
    """The same meter, over labels: eight outcomes, three bits a row."""
    whole = egress.Budget.of_bits(100, 1e9)
    session = Session(
        Oracle(),
        Disclosure({"*": "label"}),
        Coordinates(bytearray(FILE_BYTES), ScoreCaps()),
        meter(whole, whole),
        lambda: 1_000_000,
        lambda: None,
        Terms({}, 1e9),
    )
    rows = np.zeros((1, 4), "<f4").tobytes()
    heard: Counter[int] = Counter()
    for number in range(1, 60):
        (frame,) = session.receive(Classify(number, f"t{number}", "F32", (1, 4), rows))
        if isinstance(frame, Labels):
            heard[8] += 1
    assert heard[8] == 33
    assert not exceeds(heard, 100)
    assert exceeds(heard + Counter({8: 1}), 100)
