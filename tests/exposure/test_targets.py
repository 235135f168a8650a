"""A target answers its rung's question, counts, and shows nothing else."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import Budget
from strongroom.exposure.ladder import LADDER, Rung, within
from strongroom.exposure.model import classifier_of, fresh_module
from strongroom.exposure.targets import interface
from strongroom.exposure.targets.in_process import open_classifier

from .small import CONFIG, digits, some, trained

BUDGET = Budget(queries=100, seconds=60)
PROTOCOLS = {
    Rung.LABEL: interface.LabelTarget,
    Rung.TOP1: interface.TopTarget,
    Rung.TOPK: interface.TopTarget,
    Rung.LOGITS: interface.LogitsTarget,
    Rung.EMBEDDINGS: interface.EmbeddingsTarget,
    Rung.GRADIENTS: interface.GradientsTarget,
    Rung.WEIGHTS: interface.WeightsTarget,
    Rung.STUDENT: interface.StudentTarget,
}


def target(rung: Rung, budget: Budget = BUDGET):  # type: ignore[no-untyped-def]
    return open_classifier(trained(), rung, budget, student=nn.Linear(2, 2))


@pytest.mark.parametrize("rung", PROTOCOLS)
def test_a_target_has_its_rungs_questions_and_no_others(rung: Rung) -> None:
    made = target(rung)
    assert isinstance(made, PROTOCOLS[rung])
    wanted = {name for name in dir(PROTOCOLS[rung]) if not name.startswith("_")}
    assert set(dir(made)) == wanted


@pytest.mark.parametrize("rung", PROTOCOLS)
def test_attributes_lead_nowhere(rung: Rung) -> None:
    """Walk everything that attributes reach: no module, no tensor, no closure."""
    made = target(rung)
    private = [
        "_model",
        "__dict__",
        "__self__",
        "__closure__",
        "__func__",
        "__code__",
        "__wrapped__",
    ]
    seen, waiting = 0, [made]
    while waiting:
        thing = waiting.pop()
        seen += 1
        assert not isinstance(thing, (nn.Module, torch.Tensor, np.ndarray))
        for name in private:
            with pytest.raises(AttributeError):
                getattr(thing, name)
        waiting += [getattr(thing, name) for name in dir(thing)]
    assert seen > 1
    with pytest.raises(TypeError):
        vars(made)
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises((TypeError, AttributeError, copy.Error, pickle.PicklingError)):
            copying(made)
    with pytest.raises(AttributeError):
        made.labels = None


def test_answers_are_those_of_the_model_and_are_copies() -> None:
    inputs = some(0, 5).inputs
    logits = trained().logits(inputs)
    assert target(Rung.LABEL).labels(inputs).tolist() == logits.argmax(1).tolist()
    made = target(Rung.LOGITS)
    first = made.logits(inputs)
    assert first == pytest.approx(logits)
    first[:] = 0
    assert made.logits(inputs) == pytest.approx(logits)
    classes, chances = target(Rung.TOPK).top(inputs)
    assert classes.shape == chances.shape == (5, 5)
    assert (np.diff(chances, axis=1) <= 0).all()
    _, chance = target(Rung.TOP1).top(inputs)
    assert chance[:, 0] == pytest.approx(chances[:, 0], abs=0.0051)
    assert (np.round(chance, 2) == chance).all()
    assert target(Rung.EMBEDDINGS).embeddings(inputs).shape == (5, 64)


def test_gradients_are_autograds() -> None:
    records = some(0, 4)
    made = target(Rung.GRADIENTS)
    module = copy.deepcopy(trained().module)
    found = made.input_gradients(records.inputs, records.labels)
    norms = made.parameter_gradients(records.inputs, records.labels)
    for row in range(4):
        module.zero_grad()
        inputs = torch.from_numpy(records.inputs[row : row + 1]).requires_grad_(True)
        nn.functional.cross_entropy(
            module(inputs), torch.from_numpy(records.labels[row : row + 1])
        ).backward()
        assert found[row] == pytest.approx(inputs.grad.numpy()[0], abs=1e-5)
        wanted = [float(p.grad.norm()) for p in module.parameters()]
        assert norms[row] == pytest.approx(wanted, abs=1e-4)


def test_the_weights_are_a_copy_of_their_own() -> None:
    made = target(Rung.WEIGHTS)
    with torch.no_grad():
        for values in made.model().parameters():
            values.zero_()
    assert any(bool(values.abs().sum() > 0) for values in made.model().parameters())
    assert any(bool(values.abs().sum() > 0) for values in trained().module.parameters())


def test_rows_are_counted_and_the_budget_is_kept() -> None:
    made = target(Rung.LABEL, Budget(queries=10, seconds=60))
    made.labels(some(0, 6).inputs)
    with pytest.raises(ExposureRefused) as caught:
        made.labels(some(0, 5).inputs)
    assert caught.value.code == "exposure.budget_spent"
    made.labels(some(0, 4).inputs)
    spent = made.spent()
    assert (spent.queries, spent.refusals) == (10, {"exposure.budget_spent": 1})


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 1, 8, 8)),
        np.zeros((1, 8, 8)),
        np.full((1, 1, 8, 8), 17.0),
        np.full((1, 1, 8, 8), np.nan),
    ],
)
def test_inputs_are_checked_as_at_the_door(bad: np.ndarray) -> None:
    made = target(Rung.LABEL)
    with pytest.raises(ExposureRefused) as caught:
        made.labels(bad)
    assert caught.value.code == "exposure.input_unfit"
    assert made.spent().queries == 0


def test_the_ladder_is_an_order() -> None:
    for rung in LADDER:
        assert rung in within(rung)
        for below in within(rung):
            assert within(below) <= within(rung)
    assert within(Rung.WEIGHTS) == set(LADDER)
    assert Rung.LABEL not in within(Rung.STUDENT)


def test_a_model_of_another_shape_is_refused() -> None:
    tensors = dict(fresh_module(CONFIG).named_parameters())
    with pytest.raises(ExposureRefused) as caught:
        classifier_of(CONFIG, tensors)
    assert caught.value.code == "exposure.model_unsupported"
    with pytest.raises(ExposureRefused):
        fresh_module({**CONFIG, "layers": [{"type": "attention"}]})
    made = classifier_of(
        CONFIG,
        {
            "first.weight": torch.ones(64, 64),
            "first.bias": torch.zeros(64),
            "last.weight": torch.ones(10, 64),
            "last.bias": torch.arange(10.0),
        },
    )
    assert made.logits(digits().inputs[:3]).argmax(1).tolist() == [9, 9, 9]
