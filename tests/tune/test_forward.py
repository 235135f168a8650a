"""Our training step says what transformers and plain autograd say."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from strongroom.boundary.lora import MODULES
from strongroom.keeper.engine.adapter import place_shapes, weight_name
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.optimiser import Flat

from .tiny import counting, tiny

VARIANTS = {
    "llama": {},
    "tied": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True},
    "one key head for each": {"num_key_value_heads": 6},
    "own head size": {"head_dim": 16},
}


def random_pairs(config, rank=4):
    torch.manual_seed(3)
    adapter = fresh(config, MODULES, rank, Seed(bytes(32)))
    return {name: (a, 0.05 * torch.randn_like(b)) for name, (a, b) in adapter.pairs.items()}


def merged(model, pairs, scale=2.0):
    """The transformers model with the adapters merged in, differentiable in them."""
    return {
        weight_name(place): model.state_dict()[weight_name(place)] + scale * b @ a
        for place, (a, b) in pairs.items()
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_transformers_with_the_adapter_merged(variant: str) -> None:
    model, config, tensors = tiny(**VARIANTS[variant])
    pairs = random_pairs(config)
    ids = torch.randint(3, 199, (2, 17))
    found = Decoder(config, tensors).logits(ids, pairs)
    expected = torch.func.functional_call(model, merged(model, pairs), (ids,)).logits
    assert torch.allclose(found, expected, atol=2e-4)
    bare = Decoder(config, tensors).logits(ids, {})
    assert (bare - expected).abs().max() > 0.05  # positive control: the adapter matters


def test_gradients_are_those_of_autograd_through_transformers() -> None:
    model, config, tensors = tiny()
    leaves = {
        name: (a.clone().requires_grad_(), b.clone().requires_grad_())
        for name, (a, b) in random_pairs(config).items()
    }
    data = counting(5)
    ids = torch.tensor([example.ids for example in data.examples])
    logits = torch.func.functional_call(model, merged(model, leaves), (ids,)).logits
    learnt = torch.tensor([example.learnt for example in data.examples])[:, 1:]
    expected = F.cross_entropy(logits[:, :-1][learnt], ids[:, 1:][learnt], reduction="sum")
    expected.backward()
    flat = Flat({name: (a.detach(), b.detach()) for name, (a, b) in leaves.items()})
    loss = Decoder(config, tensors).loss(
        rows_of([(e.ids, e.learnt) for e in data.examples]), flat.pairs
    )
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, pair in flat.pairs.items():
        for mine, theirs in zip(pair, leaves[name], strict=True):
            assert torch.allclose(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4), name


def test_without_bf16_instructions_weights_in_bf16_are_computed_in_float32() -> None:
    _, config, tensors = tiny()
    stored = {name: value.bfloat16() for name, value in tensors.items()}
    wide = {name: value.float() for name, value in stored.items()}
    rows = rows_of([(e.ids, e.learnt) for e in counting(5).examples])
    said = {}
    for label, weights, means in (
        ("stored", stored, "auto"),
        ("wide", wide, "auto"),
        ("native", stored, "bfloat16"),
    ):
        flat = Flat(random_pairs(config))
        with mock.patch("strongroom.tune.forward.resolved", return_value=means):
            loss = Decoder(config, weights).loss(rows, flat.pairs)
        loss.backward()
        said[label] = (float(loss.detach()), flat.grads)
    assert said["stored"][0] == said["wide"][0]
    assert torch.equal(said["stored"][1], said["wide"][1])
    assert said["native"][0] != said["wide"][0]  # control: bf16 products round otherwise
    assert said["native"][0] == pytest.approx(said["wide"][0], rel=2e-2)


def test_padding_changes_nothing() -> None:
    _, config, tensors = tiny()
    pairs = random_pairs(config)
    decoder = Decoder(config, tensors)
    short, long = counting(1, 6).examples[0], counting(1, 30, seed=1).examples[0]
    apart = sum(decoder.loss(rows_of([(e.ids, e.learnt)]), pairs) for e in (short, long))
    both = decoder.loss(rows_of([(e.ids, e.learnt) for e in (short, long)]), pairs)
    assert float(both) == pytest.approx(float(apart), rel=1e-5)
    each = decoder.losses(rows_of([(e.ids, e.learnt) for e in (short, long)]), pairs)
    alone = [decoder.loss(rows_of([(e.ids, e.learnt)]), pairs).item() for e in (short, long)]
    assert each.tolist() == pytest.approx(alone, rel=1e-5)


def test_a_fresh_adapter_changes_nothing_and_differs_by_seed() -> None:
    _, config, tensors = tiny()
    ids = torch.randint(3, 199, (1, 9))
    decoder = Decoder(config, tensors)
    one, two = (fresh(config, MODULES, 4, Seed(bytes([k]) * 32)) for k in range(2))
    assert torch.equal(decoder.logits(ids, one.pairs), decoder.logits(ids, {}))
    for place, (_, columns) in place_shapes(config, MODULES).items():
        a, other = one.pairs[place][0], two.pairs[place][0]
        assert not torch.allclose(a, other, atol=0.01)
        assert float(a.std()) == pytest.approx((1 / (3 * columns)) ** 0.5, rel=0.2)
        assert float(a.abs().max()) <= columns**-0.5


def test_a_seed_never_shows() -> None:
    seed = Seed()
    assert seed.value.hex() not in repr(seed)
    assert repr(seed.value) not in f"{seed} {[seed]}"
