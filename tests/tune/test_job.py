"""The loop learns, stops where it should, and goes on as if it had never stopped."""

from __future__ import annotations

import pytest
import torch

from strongroom.artifact.data_key import DataKey
from strongroom.errors import StrongroomError
from strongroom.keeper.engine.adapter import check_adapter
from strongroom.tune.adapter import Seed, peft_tensors
from strongroom.tune.checkpoint import Identity, JobKey
from strongroom.tune.frames import pack_examples, unpack_examples
from strongroom.tune.job import Job, State, cut, shown

from .tiny import counting, recipe, tiny


@pytest.fixture(scope="module")
def base():
    _, config, tensors = tiny()
    return config, tensors


def job(base, state: State | None = None, count: int = 24, **fields) -> Job:
    return Job(*base, counting(count).examples, recipe(**fields), state)


def test_the_loss_falls_and_the_adapter_passes_the_checks_of_a_stranger(base) -> None:
    made = job(base, steps=40, batch=12)
    losses = []
    while not made.done:
        losses.append(made.advance())
    assert losses[-1] < 0.8 * losses[0]
    assert check_adapter(
        *base,
        peft_tensors(made.adapter),
        rank=4,
        modules=made.adapter.modules,
        scale=made.adapter.scale,
        most_change=1.0,
    )


def test_a_step_takes_different_conversations_and_a_pass_takes_each_once(base) -> None:
    made = job(base, count=25)  # three batches of 8, one conversation left out in each pass
    passes = []
    for _ in range(2):
        seen = []
        for _ in range(3):
            batch = made._batch()
            assert len({id(example) for example in batch}) == 8
            seen += [id(example) for example in batch]
            made.step += 1
        assert len(set(seen)) == 24
        passes.append(seen)
    assert passes[0] != passes[1]


def test_rows_hold_everything_and_no_more_than_they_may() -> None:
    examples = [counting(1, length, seed=length).examples[0] for length in (5, 9, 6, 40, 8, 12)]
    groups = cut(examples, 24)
    assert sorted(len(e.ids) for group in groups for e in group) == [5, 6, 8, 9, 12, 40]
    for group in groups:
        assert len(group) == 1 or max(len(e.ids) for e in group) * len(group) <= 24


def test_rows_of_any_size_give_the_same_step(base, monkeypatch) -> None:
    state = job(base).state
    torch.manual_seed(1)
    begun = {name: torch.zeros_like(each) for name, each in state.tensors.items()}
    begun["values"] = 0.01 * torch.randn_like(begun["values"])
    found = []
    for most in (12, 10_000):
        monkeypatch.setattr("strongroom.tune.job.MOST_CELLS", most)
        made = job(base, State(0, Seed(bytes(32)), begun))
        found.append((made.advance(), made.state.tensors["values"]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)
    assert not torch.allclose(found[0][1], begun["values"], atol=1e-5)  # positive control


def test_a_job_that_was_stopped_ends_where_it_would_have_ended(base) -> None:
    key, identity = JobKey(DataKey(bytes(32)), "j"), Identity("j", "m", "d", recipe())
    whole = job(base)
    for _ in range(3):
        whole.advance()
    sealed = key.seal(whole.state, identity)
    again = job(base, key.open(sealed, identity))
    assert again.step == 3
    while not whole.done:
        assert whole.advance() == again.advance()
    assert torch.equal(whole.state.tensors["values"], again.state.tensors["values"])


def test_a_checkpoint_opens_for_its_own_job_only(base) -> None:
    state = job(base).state
    identity = Identity("j", "m", "d", recipe())
    key = JobKey(DataKey(bytes(32)), "j")
    sealed = key.seal(state, identity)
    assert key.open(sealed, identity).seed == state.seed  # positive control
    assert state.seed.value not in sealed
    others = [
        Identity("j", "m2", "d", recipe()),
        Identity("j", "m", "d2", recipe()),
        Identity("j", "m", "d", recipe(rate=1e-3)),
    ]
    attempts = [
        *((key, sealed, other) for other in others),
        (JobKey(DataKey(bytes(32)), "k"), sealed, identity),
        (JobKey(DataKey(b"\1" * 32), "j"), sealed, identity),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), identity),
        (key, sealed[:20], identity),
        (key, key.seal_result(3, {"a": torch.zeros(2, 3)}, identity), identity),
    ]
    for opener, blob, whose in attempts:
        with pytest.raises(StrongroomError) as caught:
            opener.open(blob, whose)
        assert caught.value.code == "tune.checkpoint_foreign"
    result = key.open_result(key.seal_result(3, {"a": torch.ones(2, 3)}, identity), identity)
    assert torch.equal(result["a"], torch.ones(2, 3))
    with pytest.raises(StrongroomError):
        key.open_result(sealed, identity)


def test_nothing_shows_before_its_time_and_losses_are_rounded(base) -> None:
    made = job(base, least_steps=2)
    assert not made.shows
    made.advance()
    assert not made.shows
    made.advance()
    assert made.shows
    assert shown(1.23456) == 1.23


def test_fewer_conversations_than_a_step_takes_are_refused(base) -> None:
    with pytest.raises(StrongroomError) as caught:
        job(base, count=7)
    assert caught.value.code == "tune.too_few_sequences"


def test_a_job_that_diverges_ends(base) -> None:
    made = job(base)
    made.state.tensors["values"].detach().fill_(float("inf"))
    with pytest.raises(StrongroomError) as caught:
        made.advance()
    assert caught.value.code == "tune.diverged"


def test_a_stored_dataset_comes_back_and_one_that_does_not_fit_is_refused() -> None:
    examples = counting(3).examples
    packed = pack_examples(examples)
    assert unpack_examples(packed, 200, 12) == examples
    for vocab, positions, raw in ((20, 12, packed), (200, 11, packed), (200, 12, packed[:-2])):
        with pytest.raises(StrongroomError) as caught:
            unpack_examples(raw, vocab, positions)
        assert caught.value.code == "tune.bad_frame"
