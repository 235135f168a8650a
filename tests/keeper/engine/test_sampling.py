"""Draws follow the tempered, truncated distribution."""

from __future__ import annotations

import math

import pytest
import torch

from strongroom.keeper.engine.sampling import choose, draw, likeliest, uniform

LOGITS = torch.log(torch.tensor([0.1, 0.5, 0.15, 0.25]))


def test_quantiles_follow_the_probabilities() -> None:
    counts = [0] * 4
    for step in range(1000):
        counts[draw(LOGITS, 1.0, 1.0, step / 1000)] += 1
    assert counts == pytest.approx([100, 500, 150, 250], abs=1)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.4, {1}), (0.5, {1}), (0.6, {1, 3}), (0.8, {1, 2, 3}), (1.0, {0, 1, 2, 3})],
)
def test_top_p_keeps_the_fewest_likeliest(top_p: float, kept: set[int]) -> None:
    assert {draw(LOGITS, 1.0, top_p - 1e-6, step / 500) for step in range(500)} == kept


def test_top_p_over_many_equal_tokens_sorts_them_all() -> None:
    flat = torch.zeros(5_000)
    drawn = {draw(flat, 1.0, 0.9, step / 4_500) for step in range(0, 4_500, 3)}
    assert len(drawn) == 1_500


def test_temperature_sharpens() -> None:
    assert {draw(LOGITS, 0.01, 1.0, step / 100) for step in range(100)} == {1}


def test_the_last_quantile_is_a_token() -> None:
    assert draw(torch.zeros(7), 1.0, 1.0, math.nextafter(1.0, 0.0)) == 6


def test_temperature_zero_takes_the_lowest_id_among_equals() -> None:
    assert choose(torch.tensor([[0.0, 2.0, 2.0]]), [(0.0, 1.0, None, None)]) == [1]


def test_uniform_numbers_lie_in_the_unit_interval_and_differ() -> None:
    drawn = [uniform() for _ in range(1000)]
    assert all(0 <= value < 1 for value in drawn)
    assert len(set(drawn)) == 1000
    assert abs(sum(drawn) / 1000 - 0.5) < 0.06


def test_likeliest_tokens_are_natural_log_probabilities() -> None:
    ids, scores = likeliest(LOGITS, 2)
    assert ids == (1, 3)
    assert scores == pytest.approx([math.log(0.5), math.log(0.25)])
