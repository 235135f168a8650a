"""The statistics against independent oracles (scipy, scikit-learn), and their promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from strongroom.exposure.measurement import auc, bootstrap, holm, low_fpr, permutation, special
from strongroom.exposure.measurement.proportions import (
    binomial_tail,
    paired_difference,
    proportion,
)

counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_clopper_pearson_is_scipys(of: tuple[int, int], level: float) -> None:
    hits, n = of
    found = proportion(hits, n, level=level)
    exact = stats.binomtest(hits, n).proportion_ci(level, "exact")
    assert (found.interval.low, found.interval.high) == pytest.approx(exact, abs=1e-9)
    assert found.interval.holds(found.value)


@given(counts, st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_binomial_tail_is_scipys(of: tuple[int, int], chance: float) -> None:
    assert binomial_tail(*of, chance) == pytest.approx(stats.binom.sf(of[0] - 1, of[1], chance))


@given(st.floats(0.001, 0.999), st.floats(1, 500), st.floats(1, 500))
@settings(max_examples=60, deadline=None)
def test_beta_is_scipys(x: float, a: float, b: float) -> None:
    assert special.beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-10)
    found = special.beta_quantile(x, a, b)
    assert special.beta_cdf(found, a, b) == pytest.approx(x, abs=1e-6)


@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 2**31), st.booleans())
@settings(max_examples=60, deadline=None)
def test_auc_is_sklearns_and_delongs_variance_that_of_its_definition(
    m: int, n: int, seed: int, ties: bool
) -> None:
    chance = np.random.default_rng(seed)
    members, others = chance.normal(0.5, 1, m), chance.normal(0, 1, n)
    if ties:
        members, others = members.round(), others.round()
    found = auc.auc(members, others)
    bits = np.r_[np.ones(m), np.zeros(n)]
    assert found.value == pytest.approx(roc_auc_score(bits, np.r_[members, others]))
    assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
    wins = (members[:, None] > others) + 0.5 * (members[:, None] == others)
    _, of_members, of_others = auc._components(members, others)
    assert of_members == pytest.approx(wins.mean(1))
    assert of_others == pytest.approx(wins.mean(0))
    p = stats.mannwhitneyu(
        members, others, alternative="greater", use_continuity=False, method="asymptotic"
    ).pvalue
    assert auc.auc_p_value(members, others) == pytest.approx(p, nan_ok=True) or ties


def test_delong_covers() -> None:
    chance = np.random.default_rng(3)
    truth = stats.norm.cdf(0.6 / np.sqrt(2))
    held = [
        auc.auc(chance.normal(0.6, 1, 60), chance.normal(0, 1, 80)).interval.holds(truth)
        for _ in range(400)
    ]
    assert 0.92 <= np.mean(held) <= 0.98


def test_paired_areas() -> None:
    chance = np.random.default_rng(5)
    members, others = chance.normal(1, 1, 200), chance.normal(0, 1, 200)
    noisy = members + chance.normal(0, 3, 200), others + chance.normal(0, 3, 200)
    better, p = auc.paired_auc_difference((members, others), noisy)
    assert better.interval.low > 0
    assert p < 0.01
    same, p = auc.paired_auc_difference((members, others), (members, others))
    assert (same.value, p) == (0, 1)


def test_paired_rates() -> None:
    first = np.array([True] * 30 + [False] * 70)
    second = np.array([True] * 10 + [False] * 90)
    found, p = paired_difference(first, second)
    assert found.value == pytest.approx(0.2)
    assert found.interval.low > 0.1
    assert p == pytest.approx(2 * 0.5**20)
    nothing, p = paired_difference(first, first)
    assert (nothing.value, p) == (0, 1)
    assert nothing.interval.holds(0)


def test_the_bootstrap_covers_a_mean() -> None:
    chance = np.random.default_rng(1)
    held = [
        bootstrap.bootstrap(chance.exponential(1, 80), seed=i, rounds=300).interval.holds(1)
        for i in range(200)
    ]
    assert 0.88 <= np.mean(held) <= 0.99


@pytest.mark.parametrize(("fpr", "least"), [(0.1, 60), (0.01, 600), (0.001, 6000)])
def test_a_rate_is_not_measurable_below_three_over_f(fpr: float, least: int) -> None:
    assert low_fpr.needed(fpr) == least
    chance = np.random.default_rng(0)
    members = chance.normal(5, 1, 50)
    assert low_fpr.tpr_at(members, chance.normal(0, 1, least - 1), fpr) is None
    found = low_fpr.tpr_at(members, chance.normal(0, 1, least), fpr)
    assert found is not None
    assert found.tpr.value > 0.5


def test_the_threshold_comes_from_the_other_half() -> None:
    """Scores without information: the rate found holds the rate asked for, over many draws."""
    chance = np.random.default_rng(2)
    found = [
        low_fpr.tpr_at(chance.normal(0, 1, 500), chance.normal(0, 1, 600), 0.05, seed=i)
        for i in range(200)
    ]
    rates = [each.tpr.value for each in found if each]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.006)
    assert np.mean([each.found_fpr.value for each in found if each]) == pytest.approx(
        0.05, abs=0.006
    )


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_curve_rises_and_has_the_area(seed: int) -> None:
    chance = np.random.default_rng(seed)
    members, others = chance.normal(1, 1, 150), chance.normal(0, 1, 200)
    points = low_fpr.roc(members, others, points=2000)
    fpr, tpr = np.array([(p.fpr, p.tpr) for p in points]).T
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(tpr) >= 0).all()
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc.auc(members, others).value, abs=0.01)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm(p_values: list[float]) -> None:
    adjusted = holm.holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert all(a <= min(1, p * len(p_values)) for a, p in zip(adjusted, p_values, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all() if p_values else True


def test_holm_by_hand() -> None:
    assert holm.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_permuted_bits_give_the_null() -> None:
    chance = np.random.default_rng(9)
    bits = np.r_[np.ones(80, bool), np.zeros(120, bool)]
    scores = np.r_[chance.normal(3, 1, 80), chance.normal(0, 1, 120)]
    found = permutation.permuted_auc(scores, bits, seed=1)
    assert found.interval.holds(0.5)
    assert found.interval.high < 0.62
    assert auc.auc(scores[bits], scores[~bits]).value > found.interval.high
