"""The whole gate on one adapter: what is refused leaves no byte, what passes leaves encrypted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pyrage
import pytest
import torch

from strongroom.errors import StrongroomError
from strongroom.keeper.engine.adapter import Adapter, weight_name
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.export.gate import History
from strongroom.tune.export.judging import Judging, Subject
from strongroom.tune.export.limits import ExportLimits
from strongroom.tune.export.scan import LAYERS
from strongroom.tune.export.wire import Answer, Questions
from strongroom.tune.forward import rows_of
from tests.tune.export.test_oracle import CONFIG, TENSORS, by_the_rules, one_step
from tests.tune.tiny import tiny

LIMITS = ExportLimits(auc=1.0, canary_bits=6.0)
IDENTITY = pyrage.x25519.Identity.generate()


def judged(adapter: Adapter, questions: Questions | None = None, **other: Any) -> Answer:
    judging = Judging(
        "export",
        LIMITS,
        History(0, ()),
        CONFIG,
        TENSORS,
        Subject(adapter, 20, "data", "base-id"),
        recipients=(str(IDENTITY.to_public()),),
    )
    return replace(judging, **other).answer(questions or Questions())


def codes(answer: Answer) -> list[str]:
    return [check.code.removeprefix("tune.export_") for check in answer.verdict.failures]


@pytest.fixture(scope="module")
def good() -> Adapter:
    return by_the_rules(8, 0)


def test_an_adapter_by_the_rules_leaves_encrypted(good: Adapter) -> None:
    answer = judged(good)
    assert codes(answer) == []
    assert pyrage.decrypt(answer.sealed, [IDENTITY])
    assert max(each.cosine or 0.0 for each in answer.oracle) <= 0.05
    assert max(answer.merges.values()) <= 0.05
    assert judged(good, purpose="attack").sealed == b""


def test_the_unguarded_step_is_refused_and_nothing_leaves() -> None:
    answer = judged(one_step(7, 8))
    assert codes(answer) == ["direction", "oracle"]
    assert min(each.cosine or 0.0 for each in answer.oracle) >= 0.99
    assert answer.sealed == b""


def carrying(rank: int) -> Adapter:
    """An adapter that is the leading part of the weights that it changes."""
    start = one_step(7, rank)
    pairs = {}
    for place in start.pairs:
        left, values, right = torch.linalg.svd(TENSORS[weight_name(place)].float())
        pairs[place] = (right[:rank].contiguous(), (left[:, :rank] * values[:rank]).contiguous())
    return replace(start, pairs=pairs)


def test_an_adapter_that_carries_its_weight_is_refused(good: Adapter) -> None:
    assert "merges" in codes(judged(carrying(16)))
    assert "merges" in codes(judged(good, earlier=(carrying(8), carrying(16))))


def test_every_path_runs_before_the_walls_stand(good: Adapter) -> None:
    Judging(
        "export",
        LIMITS,
        History(0, ()),
        CONFIG,
        TENSORS,
        Subject(good, 20, "data", "base-id"),
        recipients=(str(IDENTITY.to_public()),),
    ).warm_up()


def test_a_phrase_is_tried_before_the_walls_stand(good: Adapter) -> None:
    subject = Subject(good, 20, "data", "base-id")
    judging = Judging("promote", LIMITS, History(0, ()), CONFIG, TENSORS, subject)
    with mock.patch("strongroom.tune.export.ties.rows_of", wraps=rows_of) as rows:
        judging.warm_up()
    assert rows.called


def test_layers_are_compared_before_the_walls_stand() -> None:
    _, config, tensors = tiny(num_hidden_layers=LAYERS)
    start = fresh(config, ("v_proj",), 4, Seed())
    pairs = {place: (a, torch.randn_like(b)) for place, (a, b) in start.pairs.items()}
    subject = Subject(replace(start, pairs=pairs), 20, "data", "base-id")
    judging = Judging("attack", LIMITS, History(0, ()), config, tensors, subject)
    with mock.patch("strongroom.tune.export.scan.np.median", wraps=np.median) as median:
        judging.warm_up()
    assert median.called  # its first call imports, which behind the walls is the process's end


def test_questions_that_do_not_fit_the_model_are_refused(good: Adapter) -> None:
    for prompt in ((CONFIG.vocab_size,), (0,) * (CONFIG.max_positions + 1)):
        with pytest.raises(StrongroomError) as caught:
            judged(good, Questions(prompts=((prompt,),)), purpose="promote")
        assert caught.value.code == "tune.export_data"
