"""A session steps only on enough, tells only late, and takes the same steps as a job."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from strongroom.artifact.data_key import DataKey
from strongroom.errors import StrongroomError
from strongroom.keeper.engine.adapter import check_adapter
from strongroom.tune.adapter import peft_tensors
from strongroom.tune.checkpoint import Identity, JobKey
from strongroom.tune.dataset import Example
from strongroom.tune.forward import rows_of
from strongroom.tune.optimiser import Flat, adamw
from strongroom.tune.policy import Floors, Policy
from strongroom.tune.session import History, Session

from .tiny import recipe, tiny

FLOORS = Floors(distinct_per_step=8, supervised_per_step=40, fresh_runs=2, duplicates=0.5)
POLICY = Policy(least_steps=3, most_steps=60, most_batch=48, floors=FLOORS)


@pytest.fixture(scope="module")
def base():
    _, config, tensors = tiny()
    return config, tensors


def session(base: Any, state: Any = None, **limits: Any) -> Session:
    values = {name: getattr(POLICY, name) for name in POLICY.__struct_fields__} | limits
    return Session(*base, recipe(), Policy(**values), state)


Span = tuple[int, int]


def batch(seed: int = 0, count: int = 12, span: Span = (2, 20)) -> tuple[Example, ...]:
    """Each counts up by its own number: something to learn, and no two alike."""
    by = random.Random(seed)
    marks = (False,) * 3 + (True,) * 9
    starts = [(by.randrange(190), by.randrange(*span)) for _ in range(count)]
    return tuple(
        Example(tuple(3 + (first + more * at) % 190 for at in range(12)), marks)
        for first, more in starts
    )


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(StrongroomError) as caught:
        call(*arguments)
    return caught.value.code


def test_the_loss_falls_and_is_told_once_a_step_and_late(base) -> None:
    made = session(base)
    told = []
    for _ in range(25):
        first = made.learn(batch(1, 12, (7, 8)))
        again = made.learn(batch(2, 4, (7, 8)))
        assert again is None  # once a step
        told.append(first)
        made.update(2e-3)
    assert told[:3] == [None] * 3
    assert None not in told[3:]
    assert told[-1] < 0.9 * told[3]
    assert all(loss == round(loss, 2) for loss in told[3:])
    check_adapter(
        *base,
        peft_tensors(made.adapter),
        rank=4,
        modules=made.adapter.modules,
        scale=made.adapter.scale,
        most_change=1.0,
    )


def test_gathering_in_parts_gives_the_step_of_the_whole_and_a_hand_made_one(base) -> None:
    """One call, four calls, and the gradient of the mean computed beside it, end alike."""
    examples = batch(count=12)
    whole = session(base)
    state = whole.state  # not used up: another session begins from the same seed
    begun = copied(state)
    whole = session(base, begun)
    parts = session(base, begun)
    whole.learn(examples)
    for at in range(0, 12, 3):
        parts.learn(examples[at : at + 3])
    flat = Flat(whole._start.pairs)
    learnt = sum(example.supervised for example in examples)
    rows = rows_of([(example.ids, example.learnt) for example in examples])
    (whole._decoder.loss(rows, flat.pairs) / learnt).backward()
    adamw(flat, 0, 1e-3)
    before = parts.state.tensors["values"].clone()
    whole.update(1e-3)
    parts.update(1e-3)
    for made in (whole, parts):
        assert torch.allclose(made.state.tensors["values"], flat.values, atol=2e-5)
    assert not torch.allclose(before, flat.values, atol=1e-4)  # positive control


def copied(state: Any) -> Any:
    from strongroom.tune.job import State

    tensors = {name: value.detach().clone() for name, value in state.tensors.items()}
    return State(state.step, state.seed, tensors, state.history)


def test_a_step_on_too_little_is_refused_and_loses_nothing(base) -> None:
    made = session(base)
    made.learn(batch(count=5))
    before = made.state.tensors["values"].clone()
    assert refused(made.update, 1e-3) == "tune.too_few_sequences"
    assert made.step == 0
    assert torch.equal(made.state.tensors["values"], before)
    made.learn(batch(seed=9, count=5))
    made.update(1e-3)  # what was gathered before counts
    assert made.step == 1
    assert refused(made.update, 1e-3) == "tune.too_few_sequences"  # each step needs its own


def test_repeats_and_single_tokens_do_not_fill_a_batch(base) -> None:
    made = session(base)
    made.learn(batch(count=1) * 20)
    assert refused(made.update, 1e-3) == "tune.too_few_sequences"
    mixed = session(base)
    mixed.learn(batch() * 3)
    assert refused(mixed.update, 1e-3) == "tune.too_many_duplicates"
    few = session(base)
    few.learn([Example(e.ids, tuple(at == 5 for at in range(12))) for e in batch(count=12)])
    assert refused(few.update, 1e-3) == "tune.too_few_supervised"
    loose = session(base, floors=Floors(distinct_per_step=8, supervised_per_step=8, fresh_runs=1))
    same = [
        Example((3 + at, *range(20 + at, 30 + at), 7), (False,) * 11 + (True,)) for at in range(9)
    ]
    loose.learn(same)
    assert refused(loose.update, 1e-3) == "tune.one_token_dominates"


def test_rates_steps_and_batches_are_bounded(base) -> None:
    made = session(base, most_steps=3)
    made.learn(batch())
    for rate in (0.0, -1e-3, 1e-7, 3e-3, math.inf, math.nan):
        assert refused(made.update, rate) == "tune.rate_refused"
    assert refused(made.learn, batch(1, 40)) == "tune.gathered_too_many"
    for step in range(3):
        made.learn(batch(step + 50))
        made.update(1e-3)
    made.learn(batch())
    assert refused(made.update, 1e-3) == "tune.steps_refused"


def test_one_large_step_among_tiny_ones_does_not_show(base) -> None:
    """Steps at a tiny rate do not count, or a single gradient would show after twenty of them."""
    made = session(base)
    for step, rate in enumerate((1e-6, 1e-6, 1e-6, 2e-3)):
        assert made.learn(batch(step)) is None or step == 3
        made.update(rate)
    assert made.history.counting == 1
    assert refused(made.require_shows) == "tune.too_early"
    assert made.learn(batch(7)) is None
    for step in range(2):
        made.learn(batch(20 + step))
        made.update(2e-4)
    made.require_shows()
    assert made.learn(batch(8)) is not None
    assert History((1e-3, 1e-4, 9e-5)).counting == 2


def test_a_session_goes_on_from_its_checkpoint_with_nothing_gathered(base) -> None:
    key, identity = JobKey(DataKey(bytes(32)), "s"), Identity("s", "m", "0" * 64, recipe())
    made = session(base)
    for step in range(3):
        made.learn(batch(step))
        made.update(1e-3)
    sealed = key.seal(made.state, identity)
    made.learn(batch(9))
    again = session(base, key.open(sealed, identity))
    assert again.history == made.history
    assert refused(again.update, 1e-3) == "tune.too_few_sequences"
    again.learn(batch(9))
    for each in (made, again):
        each.update(1e-3)
    assert torch.equal(made.state.tensors["values"], again.state.tensors["values"])
    assert made.history == again.history
    assert (made.recipe.steps, made.recipe.batch, made.recipe.rate) == (4, 12, 1e-3)
    assert made.history.examples == 48


def test_a_session_that_diverges_ends(base) -> None:
    made = session(base)
    made.state.tensors["values"].detach().fill_(float("inf"))
    assert refused(made.learn, batch()) == "tune.diverged"
