"""Merges give the base back; low-rank changes do not."""

from __future__ import annotations

import numpy as np
import pytest

from strongroom.tune.export.merges import cosine, recovered

BY = np.random.default_rng(3)
BASE = BY.standard_normal((96, 80))


def change(size: float = 0.3) -> np.ndarray:
    return size * BY.standard_normal((96, 4)) @ BY.standard_normal((4, 80))


def test_merges_are_recovered_and_what_leaves_is_not() -> None:
    changes = [change() for _ in range(3)]
    merges = [BASE + each for each in changes]
    assert recovered({"w": merges}, {"w": BASE}, 4)["w"] >= 0.99
    assert recovered({"w": changes}, {"w": BASE}, 4)["w"] <= 0.05


def test_one_adapter_that_carries_its_weight_is_seen() -> None:
    left, values, right = np.linalg.svd(BASE)
    part = (left[:, :8] * values[:8]) @ right[:8]
    assert recovered({"w": [part]}, {"w": BASE}, 8)["w"] > 0.4


@pytest.mark.parametrize(
    ("claim", "told"),
    [(BASE, 1.0), (-2 * BASE, 1.0), (0 * BASE, 0.0), (1e-12 * BASE, 0.0), (BASE * np.nan, 1.0)],
)
def test_a_claim_is_judged_by_its_direction(claim: np.ndarray, told: float) -> None:
    assert cosine(claim, BASE) == pytest.approx(told, abs=1e-3)


def test_chance_is_not_told_as_knowledge() -> None:
    told = [cosine(BY.standard_normal(BASE.shape), BASE) for _ in range(50)]
    assert max(told) < 0.05
