"""Extraction: ranks against brute force, canaries that were planted and that were not, verbatim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.canary_exposure import CanaryExposure
from strongroom.exposure.attacks.language.digit_tree import rank
from strongroom.exposure.attacks.language.discoverable import Discoverable, succeeds
from strongroom.exposure.attacks.language.questions import Continuation, Secret
from strongroom.exposure.attacks.language.verbatim import Verbatim
from strongroom.exposure.interface import Ranks
from strongroom.exposure.judge.extraction import CanaryJudge, VerbatimJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny

COPIES = [6] * 4 + [0] * 4


def ranks(module: object, rung: Rung, attack: CanaryExposure) -> Ranks:
    target = open_language(tiny.language(module), rung, tiny.PLENTY)
    (claim,) = attack.run(target, tiny.knows(tiny.secrets()), tiny.PLENTY, 0)
    assert isinstance(claim, Ranks)
    return claim


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), sharp=st.floats(0.1, 6.0), secret=st.integers(0, 999))
def test_rank_equals_brute_force(seed: int, sharp: float, secret: int) -> None:
    by = np.random.default_rng(seed)
    nodes = {}

    def look(prefix: str) -> np.ndarray:
        if prefix not in nodes:
            values = by.standard_normal(10) * sharp
            nodes[prefix] = values - np.log(np.exp(values).sum()) - 0.05
        return nodes[prefix]

    totals = [sum(look(f"{n:03d}"[:i])[int(f"{n:03d}"[i])] for i in range(3)) for n in range(1000)]
    found = rank(look, f"{secret:03d}", 10**6)
    assert found.exact
    assert found.rank == sum(total > totals[secret] for total in totals)
    limited = rank(look, f"{secret:03d}", 4)
    assert limited.rank <= found.rank
    assert not limited.exact or limited.rank == found.rank


@pytest.mark.parametrize("rung", [Rung.LOGITS, Rung.TOPK])
def test_positive_control_planted_secrets_come_first_in_few_looks(rung: Rung) -> None:
    claim = ranks(tiny.leaky(), rung, CanaryExposure())
    assert claim.ranks[:4].tolist() == [0.0] * 4
    assert claim.exact[:4] == (True,) * 4
    found = CanaryJudge(COPIES).judge([claim])
    assert found.figures[0].measured.value == pytest.approx(np.log2(10**6))
    assert found.figures[0].p_value < 1e-6
    only = open_language(tiny.language(tiny.leaky()), rung, tiny.PLENTY)
    CanaryExposure().run(only, tiny.knows(tiny.secrets()[:4]), tiny.PLENTY, 0)
    assert only.spent().queries <= 20 * 4


@pytest.mark.parametrize("rung", [Rung.LOGITS, Rung.TOPK])
def test_negative_control_secrets_never_seen_rank_anywhere(rung: Rung) -> None:
    claim = ranks(tiny.base(), rung, CanaryExposure())
    assert not any(claim.exact)
    found = CanaryJudge(COPIES).judge([claim])
    assert found.figures[0].p_value > 0.01
    assert found.figures[1].measured.value == 0.0


def test_secrets_that_are_not_digits_or_differ_in_length_are_refused() -> None:
    with pytest.raises(ValueError, match="digits"):
        rank(lambda _: np.zeros(10), "12a", 9)
    target = open_language(tiny.language(tiny.base()), Rung.LOGITS, tiny.PLENTY)
    asked = (Secret("a ", "12"), Secret("b ", "123"))
    with pytest.raises(ExposureRefused, match=r"exposure\.data_unfit"):
        CanaryExposure().run(target, tiny.knows(asked), tiny.PLENTY, 0)


def parts() -> list[Continuation]:
    return [Continuation(text[:20], text[20:]) for text in tiny.texts()[48:72]]


def test_verbatim_repeats_what_was_learnt_and_nothing_else() -> None:
    asked = parts()
    judge = VerbatimJudge([each.suffix for each in asked], [n < 12 for n in range(24)])
    for module, clear in ((tiny.leaky(), True), (tiny.base(), False)):
        target = open_language(tiny.language(module), Rung.TEXT, tiny.PLENTY)
        prompts = tiny.knows([each.prefix for each in asked])
        claims = Verbatim(tries=2, tokens=12).run(target, prompts, tiny.PLENTY, 0)
        assert [claim.queries for claim in claims] == [24, 48]
        found = judge.judge(claims).figures[0]
        assert (found.measured.interval.low > found.null.interval.high) is clear


def test_discoverable_grows_with_tries_and_agrees_with_sampling() -> None:
    asked = parts()
    judge = VerbatimJudge([each.suffix for each in asked], [n < 12 for n in range(24)])
    for module, clear in ((tiny.leaky(), True), (tiny.base(), False)):
        target = open_language(tiny.language(module), Rung.LOGITS, tiny.PLENTY)
        claims = Discoverable((1, 100)).run(target, tiny.knows(asked), tiny.PLENTY, 0)
        found = judge.judge(claims)
        assert found.curve[0].measured.value <= found.curve[1].measured.value
        headline = found.figures[0]
        assert (headline.measured.interval.low > headline.null.interval.high) is clear


def test_succeeds_keeps_small_probabilities() -> None:
    assert succeeds(-50.0, 1) == pytest.approx(np.exp(-50.0))
    assert succeeds(np.log(0.5), 2) == pytest.approx(0.75)
    assert succeeds(0.0, 1) == 1.0
