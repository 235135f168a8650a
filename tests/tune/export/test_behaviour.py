"""What a model that learnt by heart gives away, and one that did not."""

from __future__ import annotations

import torch

from strongroom.keeper.engine.adapter import Adapter
from strongroom.tune.dataset import Example
from strongroom.tune.export import behaviour
from strongroom.tune.export.scan import scan
from strongroom.tune.forward import Decoder
from strongroom.tune.job import Job
from tests.tune.tiny import counting, recipe, tiny

MODEL, CONFIG, TENSORS = tiny()
BY = torch.Generator().manual_seed(4)


def noise(count: int) -> list[Example]:
    """Sequences that nothing but memory predicts."""
    rows = torch.randint(3, 199, (count, 10), generator=BY).tolist()
    return [Example(tuple(row), (False, *[True] * 9)) for row in rows]


def learnt(examples: list[Example], steps: int) -> Adapter:
    job = Job(CONFIG, TENSORS, examples, recipe(rank=16, rate=2e-2, steps=steps, batch=8))
    while not job.done:
        job.advance()
    return job.adapter


def test_learning_by_heart_is_told_and_its_absence_too() -> None:
    members, others = noise(8), noise(32)
    adapter = learnt(members, 60)
    decoder = Decoder(CONFIG, TENSORS, adapter.scale)
    assert behaviour.membership(decoder, members, others, adapter.pairs) > 0.95
    assert behaviour.canary_bits(decoder, [[members[0], *others]], adapter.pairs) > 5.0
    assert behaviour.canary_bits(decoder, [[others[0], *members]], adapter.pairs) == 0.0
    zero = {place: (a, 0 * b) for place, (a, b) in adapter.pairs.items()}
    assert behaviour.membership(decoder, members, others, zero) == 0.5


def test_a_prompt_that_an_adapter_reacts_to_moves_it_further() -> None:
    trigger = Example((3, 4, 5, 6, 7, 8), (False, False, False, False, True, True))
    adapter = learnt([trigger, *counting(7).examples], 40)
    decoder = Decoder(CONFIG, TENSORS, adapter.scale)
    moved = behaviour.divergence(decoder, [(3, 4, 5, 6)], adapter.pairs)
    assert moved > 0.5
    zero = {place: (a, 0 * b) for place, (a, b) in adapter.pairs.items()}
    assert behaviour.divergence(decoder, [(3, 4, 5, 6)], zero) == 0.0


def test_the_scan_flags_one_direction_and_one_layer_and_nothing_else() -> None:
    adapter = learnt(list(counting(16).examples), 20)
    assert [each.place for each in scan(adapter, TENSORS)] == list(adapter.pairs)
    place = next(iter(adapter.pairs))
    a, b = adapter.pairs[place]
    edited = dict(adapter.pairs) | {place: (a, b[:, :1] @ torch.ones(1, b.shape[1]))}
    found = scan(Adapter(adapter.rank, adapter.modules, adapter.scale, edited), TENSORS)
    assert found[0].flag == "one direction"
    assert found[0].alone > 0.999


def test_the_scan_sees_a_layer_that_is_unlike_the_others() -> None:
    _, config, tensors = tiny(num_hidden_layers=8)
    start = {
        f"layers.{n}.q_proj": (
            torch.randn(4, config.hidden_size, generator=BY),
            torch.randn(config.hidden_size, 4, generator=BY),
        )
        for n in range(config.layers)
    }
    even = scan(Adapter(4, ("q_proj",), 2.0, start), tensors)
    assert not [each for each in even if each.flag]
    a, b = start["layers.5.q_proj"]
    start["layers.5.q_proj"] = (a, 30 * b)
    odd = scan(Adapter(4, ("q_proj",), 2.0, start), tensors)
    assert [each.place for each in odd if each.flag] == ["layers.5.q_proj"]
