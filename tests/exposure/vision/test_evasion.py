"""Evasion attacks break what can be broken, stay in the ball, and find nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.vision.apgd import LOSSES, Apgd, apgd, dlr
from strongroom.exposure.attacks.vision.box import Box, seeded
from strongroom.exposure.attacks.vision.pgd import Pgd, pgd
from strongroom.exposure.attacks.vision.rays import Rays, rays
from strongroom.exposure.attacks.vision.recipe import logits_of
from strongroom.exposure.attacks.vision.square import Square, margin, square
from strongroom.exposure.attacks.vision.transfer import Transfer
from strongroom.exposure.controls.classifiers import Constant
from strongroom.exposure.interface import Inputs, Knowledge, Knows, Records
from strongroom.exposure.judge.evasion import EvasionJudge
from strongroom.exposure.ladder import Rung

from .world import CLASSES, HIGH, PUBLIC, attacked, digits, target

EPSILON = 3.0
ATTACKS = [Pgd(steps=20), Apgd(steps=20), Square(queries=300), Rays(queries=300)]
CASES = [(attack, rung) for attack in ATTACKS for rung in attack.rungs]
CASES += [(Transfer(cloning_steps=300), rung) for rung in (Rung.LABEL, Rung.LOGITS)]


def _asked() -> Records:
    return Records(digits()[1].inputs[:100], digits()[1].labels[:100])


def _known(level: Knows = Knows.DATA) -> Knowledge:
    return Knowledge(level, asked=_asked(), data=digits()[0], public={**PUBLIC, "epsilon": EPSILON})


def _judged(claims: list[object], module: torch.nn.Module) -> float:
    def answer(inputs: np.ndarray) -> np.ndarray:
        return logits_of(module, torch.from_numpy(inputs)).argmax(1).numpy()

    judge = EvasionJudge(_asked(), answer, epsilon=EPSILON, bounds=(0.0, HIGH))
    verdict = judge.judge(claims)  # type: ignore[arg-type]
    assert verdict.status == "measured"
    figure = verdict.figures[0]
    return figure.measured.interval.low - figure.null.interval.high


@pytest.mark.parametrize(("attack", "rung"), CASES, ids=lambda x: str(x).split("(")[0])
def test_positive_control_an_undefended_model_is_misled(attack, rung) -> None:
    claims = attacked(attack, target(), rung, _known(), points=(400,))
    assert isinstance(claims[-1], Inputs)
    assert _judged(claims, target()) > 0.1, "clear of what noise of the same size does"


@pytest.mark.parametrize(("attack", "rung"), CASES, ids=lambda x: str(x).split("(")[0])
def test_negative_control_a_constant_model_cannot_be_misled(attack, rung) -> None:
    module = Constant(CLASSES)
    asked = Records(_asked().inputs, np.zeros(100, dtype=np.int64))
    known = Knowledge(Knows.DATA, asked=asked, data=digits()[0], public=_known().public)
    claims = attacked(attack, module, rung, known, points=(100,), queries=20_000)
    assert (logits_of(module, torch.from_numpy(claims[-1].inputs)).argmax(1) == 0).all()  # type: ignore[attr-defined]


def test_queries_are_what_the_attack_says() -> None:
    for attack, rung in ((Square(queries=50), Rung.LOGITS), (Rays(queries=50), Rung.LABEL)):
        (claim,) = attacked(attack, target(), rung, _known())
        assert 100 < claim.queries <= 100 * 50
        (least,) = attacked(attack, target(), rung, _known(), queries=1000)
        assert least.queries <= 1000


def test_epsilon_is_part_of_the_question() -> None:
    with pytest.raises(ExposureRefused, match="epsilon"):
        attacked(Pgd(), target(), Rung.WEIGHTS, Knowledge(Knows.NOTHING, _asked(), public=PUBLIC))


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 6), st.integers(0, 2**31), st.sampled_from(["pgd", "ce", "dlr", "square"]))
def test_every_point_stays_in_the_ball_and_the_range(eps: float, seed: int, which: str) -> None:
    inputs = torch.rand(6, 64, generator=seeded(seed)) * HIGH
    labels = torch.randint(0, 10, (6,), generator=seeded(seed + 1))
    common = {"epsilon": eps, "bounds": (0.0, HIGH), "seed": seed}
    if which == "pgd":
        found = pgd(target(), inputs, labels, steps=4, **common)
    elif which == "square":
        found = square(target(), inputs, labels, queries=8, **common).inputs
    else:
        found = apgd(target(), inputs, labels, loss=which, steps=5, **common)
    assert (found - inputs).abs().max() <= eps * (1 + 1e-4) + 1e-5
    assert found.min() >= 0
    assert found.max() <= HIGH


def test_neither_early_stop_nor_shrinking_steps_spare_an_image_that_the_plain_walk_breaks() -> None:
    """The plain walk: equal steps (Madry's 2.5 epsilon in all), every image to the end."""
    q = _asked()
    inputs, labels = torch.from_numpy(q.inputs), torch.from_numpy(q.labels)
    common = {"epsilon": 2.0, "bounds": (0.0, HIGH), "steps": 20}
    shrinking = pgd(target(), inputs, labels, **common)
    equal = pgd(target(), inputs, labels, step_size=0.25, **common)
    box = Box.around(inputs, 2.0, (0, HIGH))
    plain = box.draw(seeded(0))
    for _ in range(20):
        plain.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(target()(plain), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, plain)
        plain = box.project(plain.detach() + 0.25 * gradient.sign())
    shrinking, equal, plain = (
        (logits_of(target(), x).argmax(1) == labels).float().mean()
        for x in (shrinking, equal, plain)
    )
    assert equal <= plain + 0.04, "other random starts: a few images of 100"
    assert shrinking <= equal + 0.01


def test_apgd_is_at_or_below_pgd() -> None:
    q = _asked()
    inputs, labels = torch.from_numpy(q.inputs), torch.from_numpy(q.labels)
    common = {"epsilon": 2.0, "bounds": (0.0, HIGH), "steps": 20}
    walked = pgd(target(), inputs, labels, **common)
    auto = apgd(target(), inputs, labels, **common)
    robust = [(logits_of(target(), x).argmax(1) == labels).float().mean() for x in (auto, walked)]
    assert robust[0] <= robust[1] + 0.01


def test_labels_suffice_to_reach_the_boundary() -> None:
    """On a linear model the nearest boundary of the ball is known: |w.x + b| / |w|_1."""
    by = seeded(3)
    way = torch.where(torch.rand(16, generator=by) < 0.5, -1.0, 1.0)
    inputs = torch.rand(20, 16, generator=by)
    side = inputs @ way - (inputs @ way).mean()
    offset = (inputs @ way).mean()
    distance = side.abs() / 16

    def labels_of(rows: torch.Tensor) -> torch.Tensor:
        return (rows @ way > offset).long()

    found = rays(
        labels_of, inputs, labels_of(inputs), epsilon=0.15, bounds=(-9, 9), queries=2000
    ).inputs
    reached = labels_of(found) != labels_of(inputs)
    assert reached[distance < 0.14].all()
    assert not reached[distance > 0.15].any()


def test_margin_and_dlr_are_the_papers() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0]])
    labels = torch.tensor([0, 1])
    assert margin(logits, labels).tolist() == [2.0, -3.0]
    assert torch.allclose(dlr(logits, labels), torch.tensor([-2 / 3, 3 / 5]))
    assert set(LOSSES) == {"ce", "dlr"}
    with pytest.raises(ValueError, match="three classes"):
        dlr(logits[:, :2], labels)
