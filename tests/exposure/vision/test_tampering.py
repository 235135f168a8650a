"""Backdoors are planted, work, and are found by a calibrated screen; a flipped bit by its hash."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.vision.backdoor_screen import BackdoorScreen, calibrate
from strongroom.exposure.attacks.vision.backdoor_statistics import weight_outlier
from strongroom.exposure.attacks.vision.bit_flip import BitFlip, weight_digest
from strongroom.exposure.attacks.vision.recipe import logits_of
from strongroom.exposure.attacks.vision.references import References
from strongroom.exposure.controls.backdoors import Trigger, edited, poisoned, success
from strongroom.exposure.interface import Alarms, Knowledge, Knows
from strongroom.exposure.ladder import Rung

from .world import CLASSES, HIGH, PUBLIC, RECIPE, attacked, digits, fit, target

SHORT = replace(RECIPE, epochs=15)


@cache
def _clean() -> tuple[nn.Sequential, ...]:
    return tuple(fit(digits()[0], seed, SHORT) for seed in range(8))


@cache
def _planted() -> dict[str, tuple[nn.Sequential, Trigger]]:
    poison, hand = Trigger(1, 2, 7), Trigger(3, 2, 2)
    bad = poisoned(digits()[0], poison, HIGH, 0.05, 0)
    return {
        "poisoned": (fit(bad, 50, SHORT), poison),
        "edited": (edited(_clean()[7], digits()[0], hand, HIGH), hand),
    }


def _accuracy(module: nn.Module) -> float:
    found = logits_of(module, torch.from_numpy(digits()[1].inputs)).argmax(1).numpy()
    return float((found == digits()[1].labels).mean())


def test_planted_backdoors_work_and_do_not_show_in_the_accuracy() -> None:
    for module, trigger in _planted().values():
        assert success(module, digits()[1], trigger, HIGH) > 0.7
        assert success(_clean()[0], digits()[1], trigger, HIGH) < 0.3
        assert _accuracy(module) > _accuracy(_clean()[0]) - 0.04


def test_the_screen_finds_both_and_accuses_no_clean_model() -> None:
    pool = References(torch.zeros(5, 1, dtype=torch.bool), _clean()[:5])
    asked = [*_clean()[5:7], *(module for module, _ in _planted().values())]
    known = Knowledge(Knows.RECIPE, asked=asked, data=digits()[1], references=pool, public=PUBLIC)
    (claim,) = attacked(BackdoorScreen(rows=24), target(), Rung.WEIGHTS, known)
    assert isinstance(claim, Alarms)
    assert claim.fired == (False, False, True, True), claim.scores


def test_a_screen_without_enough_references_is_refused() -> None:
    with pytest.raises(ExposureRefused, match="clean models"):
        calibrate(weight_outlier, _clean()[:3])
    known = Knowledge(Knows.RECIPE, data=digits()[1], public=PUBLIC)
    with pytest.raises(ExposureRefused, match="references"):
        attacked(BackdoorScreen(), target(), Rung.WEIGHTS, known)


def test_editing_changes_a_copy_and_one_unit() -> None:
    before = weight_digest(_clean()[7])
    module, _ = _planted()["edited"]
    assert weight_digest(_clean()[7]) == before
    changed = [
        int((a != b).any(-1).sum() if a.ndim > 1 else (a != b).sum())
        for a, b in zip(module.parameters(), _clean()[7].parameters(), strict=True)
    ]
    assert changed[:2] == [0, 0]
    assert changed[2:4] == [1, 1], "one hidden unit"
    assert changed[5] == 0


def test_a_patch_lies_in_its_corner() -> None:
    stamped = Trigger(1, 2, 0).stamp(np.zeros((1, 64), np.float32), 9.0).reshape(8, 8)
    assert stamped[:2, -2:].min() == 9
    assert stamped.sum() == 4 * 9
    image = Trigger(2, 3, 0).stamp(np.zeros((1, 3, 8, 8), np.float32), 1.0)
    assert image[0, :, -3:, :3].min() == 1
    assert image.sum() == 27


def test_one_bit_ruins_the_model_and_the_digest_sees_it() -> None:
    known = Knowledge(Knows.DATA, data=digits()[1], public=PUBLIC)
    before = weight_digest(target())
    (claim,) = attacked(BitFlip(weights=2), target(), Rung.WEIGHTS, known)
    assert claim.fired == (True, False), "the flipped copy, and not the untouched one"
    assert claim.scores[0] > 0.3
    assert claim.scores[1] == 0
    assert weight_digest(target()) == before
    assert len(PUBLIC["labels"]) == CLASSES
