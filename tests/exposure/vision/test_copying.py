"""Cloning, hidden size and inversion: what copies a model, and what has nothing to be copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.vision.cloning import Cloning, foreign
from strongroom.exposure.attacks.vision.hidden_size import HiddenSize, noise, rank_above_noise
from strongroom.exposure.attacks.vision.inversion import Inversion, start
from strongroom.exposure.attacks.vision.recipe import logits_of
from strongroom.exposure.attacks.vision.view import View, observe, public, spread
from strongroom.exposure.controls.classifiers import Scrambled, gallery
from strongroom.exposure.interface import Budget, Knowledge, Knows, Records
from strongroom.exposure.judge.cloning import CloningJudge
from strongroom.exposure.judge.inversion import InversionJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.model import Classifier
from strongroom.exposure.targets.in_process import open_classifier

from .world import CLASSES, HIGH, PUBLIC, RECIPE, attacked, chosen, digits, fit, target


def _agreement(claims: list[object], module: nn.Module) -> object:
    held = digits()[1]
    answers = logits_of(module, torch.from_numpy(held.inputs)).argmax(1).numpy()
    return CloningJudge(held, answers).judge(claims)  # type: ignore[arg-type]


@pytest.mark.parametrize("rung", Cloning.rungs)
def test_positive_control_four_hundred_queries_copy_the_digits(rung: Rung) -> None:
    known = Knowledge(Knows.DATA, data=digits()[0], public=PUBLIC)
    claims = attacked(Cloning(steps=300), target(), rung, known, points=(50, 400))
    assert [claim.queries for claim in claims] == [50, 400]
    verdict = _agreement(claims, target())
    assert verdict.figures[0].measured.value > 0.88
    assert verdict.curve[0].measured.value < verdict.curve[1].measured.value


@pytest.mark.parametrize("rung", [Rung.LABEL, Rung.LOGITS])
def test_negative_control_a_hash_of_the_input_cannot_be_copied(rung: Rung) -> None:
    module = Scrambled(64, CLASSES, 0)
    known = Knowledge(Knows.DATA, data=digits()[0], public=PUBLIC)
    claims = attacked(Cloning(steps=200), module, rung, known, points=(400,))
    figure = _agreement(claims, module).figures[0]
    assert figure.measured.interval.low <= figure.null.interval.high


def test_without_data_noise_copies_less() -> None:
    nothing = Knowledge(Knows.NOTHING, public=PUBLIC)
    claims = attacked(Cloning(steps=300), target(), Rung.LOGITS, nothing, points=(400,))
    assert 0.2 < _agreement(claims, target()).figures[0].measured.value < 0.85


def test_cloning_asks_for_nothing_twice_and_ends_with_its_budget() -> None:
    known = Knowledge(Knows.DATA, data=digits()[0], public=PUBLIC)
    model = Classifier(target(), (64,), (0.0, HIGH), PUBLIC["labels"])
    budget = Budget(300, 60, (100, 200, 5000))
    door = open_classifier(model, Rung.LABEL, budget)
    claims = Cloning(steps=50).run(door, known, budget, 0)
    assert [claim.queries for claim in claims] == [100, 200, 300]
    assert door.spent().queries == 300


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([(5,), (64,), (1, 4, 4), (3, 9, 12)]),
    st.tuples(st.floats(-5, 0), st.floats(0.5, 300)),
)
def test_foreign_inputs_fit_any_model(shape: tuple[int, ...], bounds: tuple[float, float]) -> None:
    facts = {"labels": ("a", "b"), "input_shape": shape, "input_range": bounds}
    made = foreign(public(Knowledge(Knows.NOTHING, public=facts)), 9, 0)
    assert made.shape == (9, *shape)
    assert made.dtype == np.float32
    assert made.min() >= np.float32(bounds[0])
    assert made.max() <= np.float32(bounds[1])


def _wide(hidden: int, classes: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, hidden), nn.ReLU(), nn.Linear(hidden, classes)).eval()


@settings(max_examples=12, deadline=None)
@given(st.integers(3, 40), st.integers(0, 999), st.sampled_from(["f32", "bf16", "decimals"]))
def test_positive_control_the_width_is_found_exactly(hidden: int, seed: int, written: str) -> None:
    logits = logits_of(_wide(hidden, 90, seed), torch.randn(400, 20, generator=torch.Generator()))
    if written == "bf16":
        logits = (logits * 40).bfloat16().float()
    elif written == "decimals":
        logits = ((logits.double() * 4000).round() / 100).float()
    found = rank_above_noise(logits)
    assert not found.full
    assert found.rank <= hidden
    assert found.rank == hidden or written != "f32"


def test_negative_control_noise_has_no_width() -> None:
    """Full rank is a bound, and is said to be one; so is a model with fewer classes than units."""
    noise_only = rank_above_noise(torch.randn(400, 30, generator=torch.Generator()))
    assert (noise_only.rank, noise_only.full) == (30, True)
    (claim,) = attacked(
        HiddenSize(), target(), Rung.LOGITS, Knowledge(Knows.NOTHING, public=PUBLIC)
    )
    assert claim.facts["hidden_size"] <= CLASSES
    assert not claim.facts["exact"] or claim.facts["hidden_size"] < CLASSES


def test_a_rank_needs_more_queries_than_classes_and_numbers() -> None:
    with pytest.raises(ValueError, match="queries"):
        rank_above_noise(torch.zeros(10, 10))
    with pytest.raises(ValueError, match="finite"):
        rank_above_noise(torch.full((11, 10), float("nan")))
    assert noise(torch.tensor([[1.25, 3.5]])) == pytest.approx(0.01 / 12**0.5)


def _correlation(found: np.ndarray, wanted: np.ndarray) -> float:
    pairs = zip(found.reshape(len(found), -1), wanted.reshape(len(wanted), -1), strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))


@pytest.mark.parametrize("rung", Inversion.rungs)
def test_positive_control_a_gallery_of_one_record_a_class_is_read_back(rung: Rung) -> None:
    module, records = gallery(digits()[0], RECIPE, CLASSES, 0)
    known = Knowledge(Knows.NOTHING, public=PUBLIC)
    (claim,) = attacked(Inversion(steps=60), module, rung, known, queries=200_000)
    wrong = Records(np.roll(records.inputs, 3, axis=0), records.labels)
    assert _correlation(claim.inputs, records.inputs) > 0.4
    assert _correlation(claim.inputs, wrong.inputs) < 0.1


def test_negative_control_a_scrambled_model_shows_no_class() -> None:
    """What is climbed there is recognised no oftener than the grey start is."""
    known = Knowledge(Knows.NOTHING, public=PUBLIC)
    claims = attacked(Inversion(steps=60), Scrambled(64, CLASSES, 1), Rung.WEIGHTS, known)
    evaluator = fit(digits()[1], 8)

    def evaluate(inputs: np.ndarray) -> np.ndarray:
        return logits_of(evaluator, torch.from_numpy(inputs)).softmax(1).numpy()

    null = start(known, public(known), CLASSES).numpy()
    members, held = digits()[0], chosen(digits()[1], np.arange(500))
    judge = InversionJudge(np.arange(CLASSES), evaluate, null, members, held)
    figure = judge.judge(claims).figures[0]
    assert figure.measured.interval.low <= 0.3
    assert figure.p_value > 0.02


def test_a_budget_below_one_step_is_refused() -> None:
    known = Knowledge(Knows.NOTHING, public=PUBLIC)
    with pytest.raises(ExposureRefused, match="budget"):
        attacked(Inversion(), target(), Rung.LOGITS, known, queries=100)


def test_references_are_seen_through_the_targets_pane() -> None:
    inputs = digits()[1].inputs[:50]
    logits = logits_of(target(), torch.from_numpy(inputs))
    model = Classifier(target(), (64,), (0.0, HIGH), PUBLIC["labels"])
    for rung in (Rung.LABEL, Rung.TOP1, Rung.TOPK, Rung.LOGITS, Rung.WEIGHTS):
        seen, view = observe(open_classifier(model, rung, Budget(50, 1)), inputs, CLASSES)
        assert torch.allclose(view.of(logits), seen, atol=1e-6), (rung, view)
    assert view == View("logits")
    with pytest.raises(ExposureRefused, match="classifier"):
        observe(object(), inputs, CLASSES)


def test_mass_that_is_not_shown_is_spread_evenly() -> None:
    found = spread(torch.tensor([[2, 0]]), torch.tensor([[0.6, 0.2]]), 4)
    assert torch.allclose(found, torch.tensor([[0.2, 0.1, 0.6, 0.1]]))
