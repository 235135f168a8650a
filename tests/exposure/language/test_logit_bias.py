"""The final layer through ``logit_bias``: found where it is taken, nothing where it is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.logit_bias import LogitBias, LogitBiasRankings
from strongroom.exposure.cell import Spent
from strongroom.exposure.interface import Budget, Facts, Knows
from strongroom.exposure.judge.facts import FactsJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.subjects.texts import bias_truths
from strongroom.exposure.targets.biased import Biased
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny

KNOWN = tiny.knows(None, Knows.NOTHING)


def claims(attack: LogitBias, rung: Rung = Rung.LOGITS, budget: Budget = tiny.PLENTY) -> list[Any]:
    target = open_language(tiny.language(tiny.base()), rung, budget)
    return list(attack.run(target, KNOWN, budget, 4))


def judge() -> FactsJudge:
    return FactsJudge(bias_truths(tiny.base(), 4, KNOWN.public))


@pytest.mark.parametrize("attack", [LogitBias(start=64), LogitBiasRankings(start=64, halvings=18)])
def test_positive_control_an_endpoint_that_takes_a_bias_tells_size_and_layer(
    attack: LogitBias,
) -> None:
    found = claims(attack)
    assert found[-1].facts["hidden_size"] == tiny.HIDDEN
    assert judge().judge(found).figures[0].measured.value == 1.0


class LikeliestAlone:
    """A door that says one token, without numbers, and takes a bias."""

    def __init__(self) -> None:
        self.lax = open_language(tiny.language(tiny.base()), Rung.LOGITS, tiny.PLENTY)

    def biased(self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int):
        said = self.lax.biased(prompts, biases, top=1)
        return [((one[0][0], math.nan),) for one in said]

    def spent(self) -> Spent:
        return self.lax.spent()  # type: ignore[no-any-return]


def test_positive_control_the_likeliest_token_alone_is_enough() -> None:
    found = LogitBiasRankings(start=64, halvings=18).run(LikeliestAlone(), KNOWN, tiny.PLENTY, 4)
    assert found[-1].facts["hidden_size"] == tiny.HIDDEN  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("attack", "rung"), [(LogitBias(), Rung.TOPK), (LogitBiasRankings(), Rung.TEXT)]
)
def test_a_door_that_refuses_gives_nothing_after_one_query(attack: LogitBias, rung: Rung) -> None:
    assert claims(attack, rung) == [Facts(1, {})]


class Deaf:
    """Takes the bias and goes on as it would have."""

    def biased(self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int):
        return [tuple((text, -1.0 - n) for n, text in enumerate("vwxyz"[:top])) for _ in prompts]

    def spent(self) -> Spent:
        return Spent(1)


class Noise(Deaf):
    """Answers of no rank."""

    def biased(self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int):
        by = np.random.default_rng(sum(map(ord, prompts[0])))
        return [
            tuple((tiny.tokenizer().decode([t]), float(by.standard_normal())) for t in bias)
            for bias in biases
        ]


@pytest.mark.parametrize("target", [Deaf(), Noise()])
def test_negative_controls_a_bias_without_effect_and_a_model_without_rank(target: Deaf) -> None:
    last = LogitBias(start=64).run(target, KNOWN, tiny.PLENTY, 4)[-1]
    assert last.facts == {}  # type: ignore[attr-defined]


def test_too_small_a_budget_is_said_and_finds_nothing() -> None:
    with pytest.raises(ExposureRefused) as refusal:
        claims(LogitBias(), budget=Budget(150, 60.0))
    assert refusal.value.code == "exposure.budget_spent"


def test_the_likeliest_after_a_bias_are_as_a_softmax_has_them() -> None:
    logits = np.random.default_rng(1).standard_normal(1000).astype(np.float32) * 3
    bias = {5: 7.5, 17: -4.0, 400: 2.0}
    whole = torch.from_numpy(logits).double()
    for token, more in bias.items():
        whole[token] += more
    wanted = torch.topk(torch.log_softmax(whole, 0), 5)
    found = Biased(logits).top(bias, 5)
    assert [token for token, _ in found] == wanted.indices.tolist()
    assert np.allclose([value for _, value in found], wanted.values.numpy())
