"""What an answer is charged: never less than the information it can carry."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from strongroom.boundary import charging

BIT = charging.GRAINS_PER_BIT


@given(st.integers(2, 2**32))
def test_a_choice_is_charged_log2_rounded_up_to_a_grain(outcomes: int) -> None:
    grains = charging.choice(outcomes)
    above = grains / BIT - math.log2(outcomes)
    assert -1e-9 <= above < 1 / BIT + 1e-9
    if outcomes < 5000:  # the definition itself, in integers
        assert 2**grains >= outcomes**BIT > 2 ** (grains - 1)


def test_known_charges() -> None:
    assert charging.choice(1) == 0
    assert charging.choice(2) == BIT
    assert charging.choice(49_152) == math.ceil(math.log2(49_152) * BIT)
    assert charging.token_charge(49_152) == charging.choice(49_152)
    assert charging.token_charge(256, 2) == 8 * BIT + 2 * (8 + 32) * BIT
    assert charging.token_charge(256, 1, rounded=True) == 16 * BIT + charging.choice(101)
    assert charging.label_charge(16) == 4 * BIT
    assert charging.label_charge(16, 16) == 4 * BIT + 16 * 32 * BIT
    assert charging.label_charge(16, 5, indexed=True) == 4 * BIT + 5 * 36 * BIT
    assert charging.label_charge(16, 1, rounded=True) == 4 * BIT + charging.choice(101)


@given(st.integers(0, 2**60))
def test_millibits_are_rounded_up(grains: int) -> None:
    found = charging.millibits(grains)
    assert found * BIT >= grains * 1000 > (found - 1) * BIT
