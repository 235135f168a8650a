"""Membership of texts: leaky models are told apart, the untaught base gives chance."""

from __future__ import annotations

import numpy as np
import pytest

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.base_ratio import BaseRatio
from strongroom.exposure.attacks.language.loss import TextLoss
from strongroom.exposure.attacks.language.min_k import MinK, MinKPlusPlus, lowest, standardised
from strongroom.exposure.attacks.language.text_membership import TextOnlyMembership
from strongroom.exposure.attacks.language.zlib_ratio import ZlibRatio
from strongroom.exposure.interface import Attack, Budget, Knowledge, Knows, Scores
from strongroom.exposure.judge.blind import text_features
from strongroom.exposure.judge.membership import MembershipJudge
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny

ATTACKS = [TextLoss(), ZlibRatio(), MinK(), MinKPlusPlus(), BaseRatio(), TextOnlyMembership(20, 6)]
BITS = np.arange(120) < 60


def verdict(attack: Attack, module: object):
    target = open_language(tiny.language(module), attack.rungs[0], tiny.PLENTY)
    knowledge = tiny.knows(tiny.texts(), attack.knowledge[0])
    claims = attack.run(target, knowledge, tiny.PLENTY, 0)
    return MembershipJudge(BITS, text_features(tiny.texts())).judge(claims)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_positive_control_a_model_that_learnt_by_heart_tells_its_texts(
    attack: Attack,
) -> None:
    found = verdict(attack, tiny.leaky())
    assert found.status == "measured"
    assert found.figures[0].measured.interval.low > 0.75
    assert found.figures[0].p_value < 1e-4


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_negative_control_a_model_that_saw_none_gives_chance(attack: Attack) -> None:
    found = verdict(attack, tiny.base())
    assert found.figures[0].measured.interval.holds(0.5)


def test_without_the_base_the_ratio_says_what_it_lacks() -> None:
    target = open_language(tiny.language(tiny.base()), BaseRatio.rungs[0], tiny.PLENTY)
    lacking = Knowledge(Knows.BASE, tiny.texts(), public={"tokenizer": tiny.tokenizer()})
    with pytest.raises(ExposureRefused, match=r"exposure\.knowledge_lacking"):
        BaseRatio().run(target, lacking, tiny.PLENTY, 0)


def test_text_alone_claims_after_each_cut_and_keeps_whole_rounds_when_the_budget_ends() -> None:
    texts, cuts = tiny.texts(), TextOnlyMembership(20, 6)
    rows = [tiny.tokenizer().encode(text, add_special_tokens=False).ids for text in texts]
    rounds = -(-(max(map(len, rows)) - 20) // 6)
    assert rounds > 1
    whole = cuts.run(
        open_language(tiny.language(tiny.leaky()), cuts.rungs[0], tiny.PLENTY),
        tiny.knows(texts, Knows.BASE),
        tiny.PLENTY,
        0,
    )
    assert len(whole) == rounds
    short = Budget(whole[0].queries, 1e9)
    part = cuts.run(
        open_language(tiny.language(tiny.leaky()), cuts.rungs[0], short),
        tiny.knows(texts, Knows.BASE),
        short,
        0,
    )
    assert len(part) == 1
    assert isinstance(part[0], Scores)
    assert isinstance(whole[0], Scores)
    assert np.array_equal(part[0].scores, whole[0].scores)


def test_a_text_of_one_token_is_refused() -> None:
    target = open_language(tiny.language(tiny.base()), TextLoss.rungs[0], tiny.PLENTY)
    with pytest.raises(ExposureRefused, match=r"exposure\.data_unfit"):
        TextLoss().run(target, tiny.knows(["a"]), tiny.PLENTY, 0)


def test_standardised_against_its_definition() -> None:
    logits = np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32) * 3
    row = [1, 5, 2, 8]
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    p = np.exp(logp)
    mean = (p * logp).sum(1)
    deviation = np.sqrt((p * (logp - mean[:, None]) ** 2).sum(1))
    wanted = [(logp[i, row[i + 1]] - mean[i]) / deviation[i] for i in range(3)]
    assert standardised(logits, row) == pytest.approx(wanted, rel=1e-4)


def test_lowest_takes_one_at_least() -> None:
    assert lowest(np.array([3.0, -1.0, 2.0]), 0.01) == -1.0
    assert lowest(np.arange(10.0), 0.2) == 0.5
