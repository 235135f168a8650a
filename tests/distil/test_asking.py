"""Plans, budgets, votes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from strongroom.distil.answers import asked, questions
from strongroom.distil.making import Workshop
from strongroom.distil.plan import Plan, read_plan
from strongroom.distil.votes import ensemble, epsilon, voting
from strongroom.errors import ExposureRefused

from .conftest import GRANTED, plan


def test_soft_labels_need_a_grant(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan(answers="logits")))
    with pytest.raises(ExposureRefused, match="soft_labels_not_granted"):
        read_plan(path)
    path.write_bytes(msgspec.json.encode(plan(answers="logits", grants=GRANTED)))
    assert read_plan(path) == plan(answers="logits", grants=GRANTED)
    assert read_plan(path).digest != plan().digest


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[" * 10_000, b'{"format": 1}', msgspec.json.encode(plan())[:-1] + b',"more":1}'],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ExposureRefused, match="plan_malformed"):
        read_plan(path)
    with pytest.raises(ExposureRefused, match="plan_malformed"):
        read_plan(tmp_path / "absent")


@pytest.mark.parametrize("answers", ["labels", "votes", "logits"])
def test_the_teacher_shows_what_was_planned_and_no_more_often(
    workshop: Workshop, answers: str
) -> None:
    mine = replace(workshop, plan=plan(queries=40, answers=answers, grants=GRANTED))
    target = mine.target()
    inputs = questions(workshop.division.corpus, mine.plan, (0.0, 16.0))
    told = asked(target, inputs, mine.plan)
    assert told.shape == ((40, 10) if answers == "logits" else (40,))
    assert target.spent().queries == 40
    with pytest.raises(ExposureRefused, match="budget_spent"):
        asked(target, inputs[:1], mine.plan)
    for name in ("model", "module", "student", "logits" if answers != "logits" else "labels"):
        with pytest.raises(AttributeError):
            getattr(target, name)


def test_more_questions_than_records_are_blends_within_the_range(workshop: Workshop) -> None:
    corpus = workshop.division.corpus
    more = questions(corpus, plan(queries=len(corpus) + 100), (0.0, 16.0))
    assert len(more) == len(corpus) + 100
    assert np.array_equal(more[: len(corpus)], corpus)
    assert more.min() >= 0
    assert more.max() <= 16
    assert np.array_equal(questions(corpus, plan(queries=7), (0.0, 16.0)), corpus[:7])


def test_one_record_changes_one_vote(workshop: Workshop) -> None:
    records = workshop.division.asked
    inputs, labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
    recipe = plan(teacher_epochs=3).teachers(workshop.config)
    before = ensemble(recipe, inputs, labels, 5, 1)
    changed = inputs.clone()
    changed[17] = 0
    after = ensemble(recipe, changed, labels, 5, 1)
    same = [
        all(torch.equal(a, b) for a, b in zip(x.parameters(), y.parameters(), strict=True))
        for x, y in zip(before, after, strict=True)
    ]
    assert same.count(False) == 1


def test_votes_are_noisy_and_follow_the_majority(workshop: Workshop) -> None:
    networks = [workshop.teacher.module] * 9
    inputs = torch.from_numpy(workshop.division.corpus)
    exact = voting(networks, 10, plan(noise=0.0), 1)(inputs)
    some = voting(networks, 10, plan(noise=2.0), 1)(inputs)
    loud = voting(networks, 10, plan(noise=1000.0), 1)(inputs)
    assert (exact == some).float().mean() > 0.95
    assert (exact == loud).float().mean() < 0.3


def test_epsilon_is_that_of_the_paper_s_bound() -> None:
    """By brute force over orders, q a / s^2 + log(1/delta) / (a - 1)."""
    for queries, noise in ((100, 40.0), (1000, 100.0), (450, 2.0)):
        orders = 1 + np.geomspace(1e-4, 1e4, 200_001)
        bound = queries * orders / noise**2 + math.log(1e5) / (orders - 1)
        assert epsilon(plan(queries=queries, noise=noise)) == pytest.approx(bound.min(), rel=1e-4)
    assert epsilon(plan(noise=0.0)) == math.inf
    assert isinstance(plan(), Plan)
