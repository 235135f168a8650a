"""No window of an hour or a day, wherever it starts, lets more than the budget out."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strongroom.boundary import charging
from strongroom.keeper import egress
from strongroom.keeper.egress import Account, Budget, Meter

BIT = charging.GRAINS_PER_BIT
START = 1_800_000_000


def meter(
    deployment: tuple[int, int], tenant: tuple[int, int] | None = None, tenants: int = 3
) -> Meter:
    accounts = [Account.empty(egress.NOBODY) for _ in range(egress.FIRST_TENANT + tenants)]
    return Meter(accounts, Budget(*deployment), Budget(*(tenant or deployment)))


def test_budgets_are_rounded_down_and_bounded() -> None:
    assert Budget.of_bits(1.0009, 0.0009) == Budget(1024, 0)
    assert Budget.of_bits(1e300, math.inf) == Budget(egress.LARGEST_BUDGET, egress.LARGEST_BUDGET)
    assert Budget(5, 9).least(Budget(7, 8)) == Budget(5, 8)
    assert Budget(5, 9).least(None) == Budget(5, 9)


steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 90), st.integers(0, 4000), st.integers(0, 90_000)),  # seconds on
        st.one_of(st.just(0), st.integers(0, 8000)),  # the clock is set back by so much
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.integers(0, 700),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(steps, st.integers(1, 1500), st.integers(1, 4000), st.integers(1, 1000))
@example([(0, 0, "a", 600), (3599, 0, "a", 600), (1, 0, "a", 600)], 1000, 4000, 1000)
def test_no_window_ever_exceeds_its_budget(
    moves: list[tuple[int, int, str, int]], hour: int, day: int, tenant: int
) -> None:
    """For any charges at any times, with a clock that is set back at will, and few places."""
    under_test = meter((hour, day), (tenant, 3 * tenant), tenants=2)
    true_time, behind = START, 0
    left: list[tuple[int, str, int]] = []
    for ahead, back, name, grains in moves:
        true_time += ahead
        behind += back
        if under_test.charge(name, grains, true_time - behind):
            left.append((true_time, name, grains))
        assert under_test.room(name, true_time - behind) >= 0
    for begin, _, _ in left:
        for length, most, most_tenant in ((3600, hour, tenant), (86_400, day, 3 * tenant)):
            inside = [(n, g) for t, n, g in left if begin <= t <= begin + length]
            assert sum(g for _, g in inside) <= most
            for name in "abcde":
                assert sum(g for n, g in inside if n == name) <= most_tenant


def test_a_budget_can_be_spent_exactly_and_not_a_grain_more() -> None:
    account = meter((1000, 5000))
    assert account.charge("a", 999, START)
    assert not account.charge("a", 2, START)
    assert account.room("a", START) == 1
    assert account.charge("a", 1, START)
    assert not account.charge("a", 1, START)
    assert account.charge("a", 0, START)
    assert account.spent(START) == (1000, 1000)


def test_budget_comes_back_after_the_window_and_not_before() -> None:
    account = meter((1000, 1500))
    assert account.charge("a", 1000, START)
    assert not account.charge("a", 1, START + egress.HOUR_SECONDS)
    late = START + egress.HOUR_SECONDS + egress.HOUR_SLOT_SECONDS
    assert account.charge("a", 500, late)
    assert not account.charge("a", 1, late)
    assert not account.charge("a", 1, START + egress.DAY_SECONDS)
    assert account.charge("a", 1, START + egress.DAY_SECONDS + egress.DAY_SLOT_SECONDS)


def test_a_clock_set_back_gives_nothing_back() -> None:
    account = meter((1000, 1000))
    assert account.charge("a", 1000, START)
    for earlier in (1, 60, 3600, 86_400, START):
        assert account.room("a", START - earlier) == 0


def test_tenants_have_their_own_budgets_within_the_deployments() -> None:
    account = meter((1000, 1000), (400, 400))
    assert account.charge("a", 400, START)
    assert not account.charge("a", 1, START)
    assert account.charge("b", 400, START)
    assert not account.charge("c", 201, START)
    assert account.charge("c", 200, START)
    assert not account.charge("d", 1, START)


def test_a_refused_charge_takes_no_place_and_no_budget() -> None:
    account = meter((1000, 1000), (400, 400), tenants=1)
    assert not account.charge("greedy", 401, START)
    assert not account.touched
    assert account.charge("a", 400, START)
    assert account.spent(START) == (400, 400)


def test_tenants_beyond_the_places_share_one_budget() -> None:
    account = meter((10_000, 10_000), (400, 400), tenants=1)
    assert account.charge("first", 100, START)
    assert account.charge("second", 300, START)
    assert not account.charge("third", 101, START)
    assert account.charge("third", 100, START)
    assert account.charge("first", 300, START)


def test_no_place_is_given_out_while_newcomers_share() -> None:
    """Else a tenant spends one budget in the shared account and another in its own."""
    account = meter((10_000, 10_000), (400, 400), tenants=1)
    assert account.charge("first", 400, START)
    half_day = START + egress.DAY_SECONDS // 2
    assert account.charge("second", 400, half_day)  # shares
    freed = START + egress.DAY_SECONDS + egress.DAY_SLOT_SECONDS
    assert not account.charge("second", 1, freed)  # first's place is free, yet not given out
    drained = half_day + egress.DAY_SECONDS + egress.DAY_SLOT_SECONDS
    assert account.charge("second", 400, drained)
    assert account.accounts[egress.FIRST_TENANT].owner == egress.owner_of("second")


def test_plain_words_give_the_days() -> None:
    parameters = 7_000_000_000
    budget = Budget.of_bits(1e9, 1.4e9)
    assert egress.days_to_carry_out(parameters, budget) == pytest.approx(2.0)
    words = egress.explain_budget(parameters, budget, Budget.of_bits(1e6, 1e9))
    assert "2.0 days" in words
    assert "2,800,000,000 bits" in words
    assert "116.7 days" in words  # the hours of a tenant add up to 24e6 bits a day
    assert "RAND 2024" in words


def test_plain_words_for_the_extremes() -> None:
    nothing = egress.explain_budget(1000, Budget(0, 0))
    assert "nothing" in nothing
    assert "forever" in nothing
    assert "less than an hour" in egress.explain_budget(1000, Budget.of_bits(1e9, 1e9))
    assert " 24.0 hours" in egress.explain_budget(10**9, Budget.of_bits(1e9, 4e8))
    assert "years" in egress.explain_budget(10**12, Budget.of_bits(1e6, 1e6))
