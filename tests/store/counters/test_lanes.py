"""Sums of five resources in one integer are the five sums."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strongroom.store.counters.lanes import (
    EVERY_RESOURCE,
    amount,
    over,
    pack,
    pack_limits,
    unpack,
    wanted,
)
from strongroom.store.limits import LARGEST, RESOURCES

AMOUNT = st.one_of(st.integers(0, LARGEST), st.sampled_from([0, 1, LARGEST - 1, LARGEST]))
COST = st.tuples(*(AMOUNT for _ in RESOURCES))
LIMITS = st.tuples(*(st.one_of(st.none(), AMOUNT) for _ in RESOURCES))


@given(COST)
def test_there_and_back(cost: tuple[int, ...]) -> None:
    assert unpack(pack(cost)) == cost
    assert tuple(amount(pack(cost), place) for place in range(len(RESOURCES))) == cost


@given(st.lists(COST, max_size=20), st.integers(1, 2**30))
def test_sums(costs: list[tuple[int, ...]], times: int) -> None:
    """Also sums that no window will ever hold: a lane does not run into its neighbour."""
    total = sum(pack(cost) for cost in costs) * times
    assert unpack(total) == tuple(times * sum(c[place] for c in costs) for place in range(5))
    for cost in costs:
        total -= pack(cost) * times
    assert total == 0


@given(LIMITS, COST, COST)
def test_over(
    limits: tuple[int | None, ...], spent: tuple[int, ...], more: tuple[int, ...]
) -> None:
    used = pack(spent) + pack(more)
    exceeded = [
        limit is not None and spent[place] + more[place] > limit
        for place, limit in enumerate(limits)
    ]
    assert bool(over(pack_limits(limits), used, EVERY_RESOURCE)) == any(exceeded)
    judged = [over_one and more[place] > 0 for place, over_one in enumerate(exceeded)]
    assert bool(over(pack_limits(limits), used, wanted(pack(more)))) == any(judged)
