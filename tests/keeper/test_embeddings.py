"""Embeddings leave in steps, charged in full, to whom the sealed policy grants them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strongroom.boundary import charging
from strongroom.boundary.frames import (
    Cancel,
    Classify,
    Done,
    Embed,
    Embeddings,
    Generate,
    Refused,
    Rung,
    Tokens,
)
from strongroom.errors import RequestRefused
from strongroom.keeper.disclosure import LADDER, embedded
from strongroom.keeper.egress import Budget

from .fakes import PLENTY, VOCABULARY, Oracle, Parrot
from .test_session import Keeper

GRANTED: dict[str, Rung] = {"*": "embeddings"}
EACH = charging.embedding_charge(1, Parrot.width)


def embed(number: int, *texts: tuple[int, ...], tenant: str = "acme") -> Embed:
    return Embed(number, tenant, texts)


def only(frames: list[Any]) -> Any:
    (frame,) = frames
    return frame


def test_texts_come_back_in_order_and_in_steps_of_their_own() -> None:
    keeper = Keeper(Parrot(), GRANTED)
    assert keeper.ask(embed(1, (10, 20, 5), (200, 100), (3,))) == []
    answer = only(keeper.finish())
    assert isinstance(answer, Embeddings)
    rows = np.frombuffer(answer.data, np.int8).reshape(3, 4)
    assert rows.tolist() == [[64, 127, 32, 0], [127, 64, 0, 0], [127, 0, 0, 0]]
    hour, _ = keeper.meter.spent(10**9)
    assert hour == 3 * EACH
    assert 4 * math.log2(255) * charging.GRAINS_PER_BIT <= EACH


@pytest.mark.parametrize("rung", [rung for rung in LADDER if rung != "embeddings"])
def test_no_other_rung_grants_them(rung: Rung) -> None:
    engine = Parrot()
    keeper = Keeper(engine, {"*": rung, "other": "embeddings"})
    answer = only(keeper.ask(embed(1, (1,))))
    assert answer.code == "keeper.embeddings_not_granted"
    assert not engine.jobs
    assert keeper.meter.spent(10**9)[0] == 0
    assert keeper.ask(embed(2, (1,), tenant="other")) == []  # control


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (embed(1, (1,), (VOCABULARY,)), "keeper.token_unknown"),
        (embed(1, (1,) * 64), "keeper.too_long"),
    ],
)
def test_texts_that_do_not_fit_are_refused_whole(ask: Embed, code: str) -> None:
    engine = Parrot()
    keeper = Keeper(engine, GRANTED)
    assert only(keeper.ask(ask)).code == code
    assert not engine.jobs
    assert not keeper.session.busy


def test_the_whole_answer_is_charged_before_anything_is_computed() -> None:
    engine = Parrot()
    budget = Budget(2 * EACH, 2 * EACH)
    keeper = Keeper(engine, GRANTED, budget=budget, tenant=budget)
    assert only(keeper.ask(embed(1, (1,), (2,), (3,)))).code == "keeper.egress_exhausted"
    assert not engine.jobs
    assert keeper.ask(embed(2, (1,), (2,))) == []
    assert isinstance(only(keeper.finish()), Embeddings)
    assert only(keeper.ask(embed(3, (1,)))).code == "keeper.egress_exhausted"


def test_beside_generations_each_gets_its_own() -> None:
    keeper = Keeper(Parrot(), GRANTED)
    assert keeper.ask(embed(1, (9, 9), (8,))) == []
    assert keeper.ask(Generate(2, "acme", (5, 6), 2)) == []
    assert only(keeper.ask(Generate(1, "acme", (5,), 1))).code == "keeper.id_in_use"
    assert only(keeper.ask(embed(2, (5,)))).code == "keeper.id_in_use"
    assert only(keeper.ask(embed(1, (5,)))).code == "keeper.id_in_use"
    frames = keeper.finish()
    assert {type(frame) for frame in frames if frame.id == 1} == {Embeddings}
    assert [f.tokens for f in frames if isinstance(f, Tokens) and f.id == 2] == [(5,), (6,)]


def test_a_cancelled_one_ends_and_leaves_nothing_in_the_engine() -> None:
    engine = Parrot()
    keeper = Keeper(engine, GRANTED)
    keeper.ask(embed(1, (1,), (2,), (3,)))
    keeper.session.step()  # two slots: one text is still waiting
    assert only(keeper.ask(Cancel(1))) == Done(1, "cancelled", 3, 0)
    assert not engine.jobs
    assert not keeper.session.busy
    assert keeper.ask(Cancel(1)) == []


def test_what_takes_too_long_is_refused() -> None:
    engine = Parrot()
    keeper = Keeper(engine, GRANTED, seconds=10)
    keeper.ask(embed(1, *[(1,)] * 3))
    keeper.session.step()
    keeper.time = 11
    assert only(list(keeper.session.step())).code == "keeper.time_over"
    assert not engine.jobs


@pytest.mark.parametrize("spoil", [(math.nan,), (math.inf,), (-math.inf, math.nan)])
def test_what_is_not_finite_is_refused_and_said_once(spoil: tuple[float, ...]) -> None:
    engine = Parrot()
    engine.spoil = spoil
    keeper = Keeper(engine, GRANTED)
    keeper.ask(embed(1, (1,), (2,), (3,)))
    answer = only(keeper.finish())
    assert isinstance(answer, Refused)
    assert answer.code == "keeper.not_finite"
    assert not engine.jobs


def test_a_full_queue_takes_no_part_of_an_answer() -> None:
    engine = Parrot()
    keeper = Keeper(engine, GRANTED, budget=PLENTY)
    for number in range(1, 17):
        assert keeper.ask(embed(number, *[(1,)] * 16)) == []
    waiting = engine.waiting
    assert only(keeper.ask(embed(99, *[(1,)] * 16))).code == "keeper.queue_full"
    assert engine.waiting == waiting


def test_a_classifier_embeds_nothing() -> None:
    keeper = Keeper(Oracle(), GRANTED)
    assert only(keeper.ask(embed(1, (1,)))).code == "keeper.wrong_kind"
    assert keeper.ask(Cancel(1)) == []
    assert keeper.ask(Classify(2, "acme", "F32", (1, 4), bytes(16)))


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8).filter(any))
def test_steps_keep_the_direction(numbers: list[float]) -> None:
    vector = torch.tensor(numbers, dtype=torch.float64)
    if not float(vector.abs().amax()) > 0:
        return
    steps = torch.from_numpy(np.frombuffer(embedded(vector), np.int8).copy()).double()
    assert int(steps.abs().amax()) == 127
    back = steps * vector.abs().amax() / 127
    assert float((back - vector).abs().amax()) <= float(vector.abs().amax()) * 0.5001 / 127


def test_nothing_has_no_direction() -> None:
    with pytest.raises(RequestRefused):
        embedded(torch.zeros(4))
