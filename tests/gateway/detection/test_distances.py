"""The statistic of the PRADA test against what is known of it."""

from __future__ import annotations

import numpy as np
import pytest

from strongroom.gateway.detection.distances import departure


def test_normal_distances_do_not_depart_and_others_do() -> None:
    generator = np.random.default_rng(1)
    normal = [departure(generator.normal(5, 1, 128).astype("f4")) for _ in range(200)]
    two = np.concatenate([generator.normal(1, 0.1, 64), generator.normal(5, 1, 64)]).astype("f4")
    assert np.mean(normal) < 0.02
    assert max(normal) < 0.06
    assert departure(two) > 0.1
    assert departure(np.full(128, 3.0, dtype="f4")) == 1.0


def test_it_is_near_to_shapiro_and_wilk() -> None:
    """scipy as oracle: W' and W differ in the third digit for these sizes."""
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(2)
    for draw in (generator.normal, generator.gumbel, generator.laplace):
        values = draw(2, 1, 128).astype("f4")
        inside = values[np.abs(values - values.mean()) <= 3 * values.std()]
        assert departure(values) == pytest.approx(1 - stats.shapiro(inside).statistic, abs=0.02)


def test_scale_and_place_do_not_matter() -> None:
    values = np.random.default_rng(3).gumbel(2, 1, 128).astype("f4")
    assert departure(values * 40 + 7) == pytest.approx(departure(values), abs=1e-4)
