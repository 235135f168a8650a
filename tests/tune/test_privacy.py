"""What private training costs: the same as Opacus says, and never more than the owner allows."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import RequestRefused
from strongroom.store.tuning import StoredJob, open_tuning_store
from strongroom.tune.ledger import made_private, require_budget, spent
from strongroom.tune.making import make_job
from strongroom.tune.policy import Dp, Policy, Recipe, Wish, grant
from strongroom.tune.privacy import ORDERS, Spent, epsilon_of, least_noise, renyi

from .tiny import counting, recipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis import rdp as opacus

BASE = ("smol", "aa" * 32)


@pytest.mark.parametrize("noise", [0.4, 0.9, 1.3, 6.0])
@pytest.mark.parametrize("share", [0.001, 0.03, 0.4, 0.95, 1.0])
def test_each_order_of_renyi_is_the_one_of_opacus(noise: float, share: float) -> None:
    orders = [1.1, 1.5, 2, 2.7, 8.3, 10.9, 12, 63]
    theirs = opacus.compute_rdp(q=share, noise_multiplier=noise, steps=1, orders=orders)
    assert [renyi(noise, share, order) for order in orders] == pytest.approx(theirs, rel=1e-7)


def test_epsilon_of_jobs_together_is_the_one_of_opacus() -> None:
    history = [Spent(1.0, 0.01, 1000), Spent(0.7, 0.2, 30), Spent(3.0, 1.0, 10)]
    for jobs in ([history[0]], [history[1]], history):
        theirs = RDPAccountant()
        theirs.history = [(each.noise, each.share, each.steps) for each in jobs]
        expected = theirs.get_epsilon(1e-6, alphas=list(ORDERS))
        assert epsilon_of(jobs, 1e-6) == pytest.approx(expected, rel=1e-9)
    alone = [epsilon_of([each], 1e-6) for each in history]
    assert max(alone) < epsilon_of(history, 1e-6) < sum(alone)
    assert epsilon_of([], 1e-6) == 0


@pytest.mark.parametrize("target", [0.5, 3.0, 20.0])
def test_noise_is_the_least_that_meets_an_epsilon(target: float) -> None:
    noise = least_noise(target, 0.2, 50, 1e-6, floor=0.3)
    assert epsilon_of([Spent(noise, 0.2, 50)], 1e-6) <= target
    assert epsilon_of([Spent(0.999 * noise, 0.2, 50)], 1e-6) > target
    assert least_noise(target, 0.2, 50, 1e-6, floor=9.0 * noise) == 9.0 * noise


def test_an_epsilon_that_no_noise_meets_is_refused() -> None:
    with pytest.raises(RequestRefused) as caught:
        least_noise(1e-4, 1.0, 10_000, 1e-9, floor=0.3)
    assert caught.value.code == "tune.epsilon_unreachable"


@pytest.mark.parametrize(
    ("dp", "wished", "code"),
    [
        (None, 1.0, "tune.not_private"),
        (Dp(epsilon=4.0), 5.0, "tune.epsilon_refused"),
        (Dp(), 0.0, "tune.epsilon_refused"),
        (Dp(), -1.0, "tune.epsilon_refused"),
        (Dp(), math.nan, "tune.epsilon_refused"),
        (Dp(delta=1e-3), None, "tune.delta_too_large"),
    ],
)
def test_a_customer_may_only_ask_for_less(dp: Dp | None, wished: float | None, code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        made_private(recipe(), 1_000, dp, wished)
    assert caught.value.code == code


def test_what_a_customer_does_not_choose_is_the_owners() -> None:
    dp = Dp(epsilon=4.0, delta=1e-5, clip=0.5)
    full, less = (made_private(recipe(), 1_000, dp, wish).private for wish in (None, 2.0))
    assert full is not None
    assert less is not None
    assert (less.delta, less.clip, less.share) == (1e-5, 0.5, 8 / 1_000)
    assert less.noise > full.noise
    assert less.epsilon <= 2.0
    assert 3.9 < full.epsilon <= 4.0 or full.noise == dp.least_noise
    assert made_private(recipe(), 1_000, None, None) == recipe()


def made(number: int, dp: Dp | None = None, organisation: str = "acme") -> tuple[StoredJob, bytes]:
    policy = Policy(least_steps=1, dp=dp)
    plain = recipe(steps=20)
    return make_job(
        counting(64),
        plain,
        job_id=f"ftjob-0000000{number}",
        organisation=organisation,
        name="n",
        base=BASE,
        dp=policy.dp,
    )


def test_jobs_add_up_until_the_budget_is_spent_and_nothing_comes_back(tmp_path: Path) -> None:
    dp = Dp(epsilon=2.0, budget=3.5)

    def add(store, number: int, organisation: str = "acme") -> StoredJob:
        job, data = made(number, dp, organisation)
        store.add_job(job, data, lambda before: require_budget(dp, job, before))
        return job

    with open_tuning_store(str(tmp_path / "t.sqlite")) as store:
        first, second = add(store, 1), add(store, 2)
        together = spent([first, second], dp.delta)
        assert 2.0 < together <= 3.5
        store.end(first.id, "cancelled", 1)
        store.end(second.id, "failed", 1)
        refused = []
        for number in range(3, 9):
            try:
                add(store, number)
            except RequestRefused as error:
                refused.append(error.code)
        assert set(refused) == {"tune.privacy_spent"}
        kept = store.jobs("acme")
        assert len(kept) == 8 - len(refused)
        assert 2.0 < spent(kept, dp.delta) <= 3.5
        assert len(store.jobs("other")) == 0
        add(store, 5, "other")  # another's budget is its own


def test_a_job_that_was_not_private_leaves_no_bound() -> None:
    dp = Dp()
    before, after = made(1)[0], made(2, dp)[0]
    assert math.isinf(spent([before, after], dp.delta))
    with pytest.raises(RequestRefused) as caught:
        require_budget(dp, after, [before])
    assert caught.value.code == "tune.privacy_spent"
    strangers = [
        msgspec.structs.replace(before, organisation="other"),
        msgspec.structs.replace(before, model="b", manifest="bb"),
    ]
    require_budget(dp, after, strangers)
    again = msgspec.structs.replace(before, manifest="sealed again")
    with pytest.raises(RequestRefused):
        require_budget(dp, after, [again])


def test_a_recipe_says_how_it_is_private() -> None:
    job, _ = made(1, Dp())
    read = msgspec.json.decode(job.recipe, type=Recipe)
    assert read.private is not None
    assert 0 < read.private.epsilon <= 8.0
    assert grant(Wish(steps=20), Policy()).private is None
