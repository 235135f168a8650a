"""The gate's own attack bites on the unguarded step, and not on a job by the rules."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from strongroom.exposure.measurement.direction import beyond_chance
from strongroom.keeper.engine.adapter import Adapter
from strongroom.tune.adapter import Seed, fresh
from strongroom.tune.export import oracle
from strongroom.tune.forward import Decoder, rows_of
from strongroom.tune.job import Job
from tests.tune.tiny import counting, recipe, tiny

MODEL, CONFIG, TENSORS = tiny()
VOCABULARY = list(range(CONFIG.vocab_size))
MODULES = ("q_proj", "v_proj", "down_proj")
ALONE = ("v_proj", "o_proj", "down_proj")
"""Modules that one position alone moves: it has nothing to choose from, so q_proj gets rounding."""


def one_step(token: int, rank: int, seed: bytes = b"s" * 32) -> Adapter:
    """B after one plain gradient step on one token."""
    start = fresh(CONFIG, ALONE, rank, Seed(seed))
    pairs = {
        place: (a.requires_grad_(True), b.requires_grad_(True))
        for place, (a, b) in start.pairs.items()
    }
    rows = rows_of([((token, 11), (False, True))])
    Decoder(CONFIG, TENSORS, start.scale).loss(rows, pairs).backward()
    moved = {}
    for place, (a, b) in pairs.items():
        assert b.grad is not None
        moved[place] = (a.detach(), (b - 0.1 * b.grad).detach())
    return replace(start, pairs=moved)


def by_the_rules(rank: int, seed: int) -> Adapter:
    """As the service trains it, but from a seed that is known: chance decides nothing here."""
    asked = recipe(rank=rank, steps=20, batch=16, modules=MODULES)
    with mock.patch("strongroom.tune.job.Seed", return_value=Seed(bytes([seed] * 32))):
        job = Job(CONFIG, TENSORS, counting(48, seed=seed).examples, asked)
    while not job.done:
        job.advance()
    return job.adapter


@pytest.mark.parametrize("rank", [8, 16])
def test_one_plain_step_on_one_token_is_read_exactly(rank: int) -> None:
    adapter = one_step(7, rank)
    found = oracle.read(CONFIG, TENSORS, adapter, VOCABULARY)
    assert len(found) == len(adapter.pairs)
    assert all(each.cosine is not None and each.cosine >= 0.99 for each in found)
    assert {each.token for each in found} == {7}
    assert max(oracle.ratios(adapter)) < 1e-4


def test_a_job_by_the_rules_is_not_read() -> None:
    for seed in range(3):
        adapter = by_the_rules(8, seed)
        found = oracle.read(CONFIG, TENSORS, adapter, VOCABULARY)
        assert all(each.cosine is not None and each.cosine <= 0.05 for each in found)
        assert np.median(oracle.ratios(adapter)) > 0.3


def test_a_rank_too_low_to_judge_is_not_judged() -> None:
    found = oracle.read(CONFIG, TENSORS, one_step(7, 2), VOCABULARY)
    assert all(each.cosine is None for each in found)
    few = oracle.read(CONFIG, TENSORS, one_step(7, 8), VOCABULARY[:12])
    assert all(each.cosine is None for each in few)


def test_a_token_that_is_not_among_those_tried_is_caught_by_the_tripwire_only() -> None:
    adapter = one_step(7, 8)
    others = [token for token in VOCABULARY if token != 7]
    found = oracle.read(CONFIG, TENSORS, adapter, others)
    assert max(each.cosine or 0.0 for each in found) < 0.9
    assert max(oracle.ratios(adapter)) < 1e-4


def test_random_directions_stay_at_chance() -> None:
    by = np.random.default_rng(0)
    told = []
    for _ in range(20):
        images = by.standard_normal((200, 8)) + 3.0  # with a common direction, as activations have
        right, _ = np.linalg.qr(by.standard_normal((8, 8)))
        told.append(beyond_chance(right, images, by)[1])
    assert all(each == 0.0 for each in told)


def test_what_enters_a_place_is_what_the_base_computes() -> None:
    adapter = one_step(7, 8)
    images = oracle.activations(CONFIG, TENSORS, adapter.pairs, [7, 8, 9])
    a = adapter.pairs["layers.0.v_proj"][0]
    embedded = TENSORS["model.embed_tokens.weight"][[7, 8, 9]].float()
    scale = (embedded.square().mean(-1, keepdim=True) + CONFIG.norm_eps).rsqrt()
    normed = embedded * scale * TENSORS["model.layers.0.input_layernorm.weight"].float()
    assert torch.allclose(
        torch.from_numpy(images["layers.0.v_proj"]).float(), normed @ a.t(), atol=1e-5
    )
