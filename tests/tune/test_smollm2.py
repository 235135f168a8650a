"""On a real model: ten steps of rank 16 teach it how documentation reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tuning import lowered

pytestmark = [pytest.mark.slow, pytest.mark.model]


def test_ten_steps_lower_the_perplexity_of_pages_that_were_held_out(smollm2_dir: Path) -> None:
    found = lowered(smollm2_dir, steps=10, batch=4, held_out=8)
    print(found)
    assert found["after"] < 0.8 * found["before"]
    assert found["idle_after"] == pytest.approx(
        found["idle_before"]
    )  # control: B = 0 changes nothing
