"""A student taught by answers: it comes to agree with a model that differs from its base."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.asking import PublicBase
from strongroom.exposure.attacks.language.language_cloning import LanguageCloning, Predictor
from strongroom.exposure.attacks.language.lora import expected_loss
from strongroom.exposure.cell import Figure
from strongroom.exposure.interface import Knowledge, Knows
from strongroom.exposure.judge.language_cloning import LanguageCloningJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import open_language

from . import tiny

ATTACK = LanguageCloning(tokens=16, layers=2, epochs=8, steps=60, points=(16, 60))


def figures(target: Any, module: Any, level: Knows) -> dict[str, Figure]:
    """Of the last claim; the texts that are held were nobody's question."""
    texts = list(tiny.texts())
    base = PublicBase(tiny.base()) if level is Knows.BASE else None
    public = {"tokenizer": tiny.tokenizer()}
    known = Knowledge(level, data=texts[30:90], base=base, public=public)
    claims = ATTACK.run(target, known, tiny.PLENTY, 0)
    held = [tiny.ids(text) for text in texts[:30]]
    mixed = [row[::-1] for row in held[:10]]
    before = Predictor(tiny.base()) if base else None
    judge = LanguageCloningJudge(held, mixed, Predictor(module), before)
    verdict = judge.judge(claims)
    assert [point.queries for point in verdict.curve] == [16, 60]
    return {figure.metric: figure for figure in verdict.figures}


def opened(module: Any, rung: Rung) -> Any:
    return open_language(tiny.language(module), rung, tiny.PLENTY)


@pytest.mark.parametrize("rung", [Rung.TEXT, Rung.TOPK])
def test_positive_control_a_student_of_the_base_comes_nearer_to_what_it_became(rung: Rung) -> None:
    found = figures(opened(tiny.leaky(), rung), tiny.leaky(), Knows.BASE)
    head, kept = found["agreement"], found["perplexity kept"]
    assert head.measured.interval.low > head.null.value
    assert head.p_value < 0.01
    assert kept.measured.value > kept.null.value
    assert "agreement out of distribution" in found


def test_positive_control_a_student_from_nothing_learns_the_commonest_and_more() -> None:
    head = figures(opened(tiny.leaky(), Rung.TEXT), tiny.leaky(), Knows.DATA)["agreement"]
    assert head.measured.interval.low > head.null.interval.high


class Babbler:
    """Says nothing that has to do with the model."""

    def __init__(self) -> None:
        self.by = np.random.default_rng(3)
        self.real = opened(tiny.leaky(), Rung.TEXT)

    def complete(self, prompts: list[str], *, max_tokens: int) -> list[str]:
        self.real.complete(prompts, max_tokens=1)
        return ["".join(map(chr, self.by.integers(33, 127, max_tokens))) for _ in prompts]

    def spent(self) -> Any:
        return self.real.spent()


def test_negative_control_answers_that_say_nothing_teach_nothing() -> None:
    head = figures(Babbler(), tiny.leaky(), Knows.BASE)["agreement"]
    assert head.measured.value <= head.null.value
    assert head.p_value > 0.05


def test_an_endpoint_without_text_is_no_lesson() -> None:
    class Silent(Babbler):
        def complete(self, prompts: list[str], *, max_tokens: int) -> list[str]:
            return ["" for _ in prompts]

    with pytest.raises(ExposureRefused):
        figures(Silent(), tiny.leaky(), Knows.BASE)


def test_shares_are_a_cross_entropy() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    hard = expected_loss(logits, [[(0, 1.0)], [(2, 1.0)]])
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2]))
    assert math.isclose(float(hard), float(wanted), rel_tol=1e-6)
    soft = expected_loss(logits, [[(0, 0.5), (1, 0.5)], [(2, 1.0)]])
    assert float(soft) == pytest.approx(float(hard) + 0.5)
