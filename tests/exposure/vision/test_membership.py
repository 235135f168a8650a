"""Membership attacks name what a memorising model saw, and nothing of a model that saw nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.vision import likelihood
from strongroom.exposure.attacks.vision.gradient_membership import GradientMembership
from strongroom.exposure.attacks.vision.label_neighbours import LabelNeighbours
from strongroom.exposure.attacks.vision.lira import Lira
from strongroom.exposure.attacks.vision.loss_threshold import LossThreshold
from strongroom.exposure.attacks.vision.rmia import Rmia
from strongroom.exposure.interface import Knowledge, Knows, Scores
from strongroom.exposure.judge.membership import MembershipJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.measurement.auc import auc

from .world import PUBLIC, attacked, bits, digits, fit, memorised, references, target

ATTACKS = [
    LossThreshold(), Lira(), Lira(online=False), Rmia(), Rmia(online=False), LabelNeighbours(),
    GradientMembership(models=8),
]  # fmt: skip
CASES = [(attack, rung) for attack in ATTACKS for rung in attack.rungs]


def _known(asked: object, pool: object) -> Knowledge:
    return Knowledge(Knows.RECIPE, asked=asked, references=pool, public=PUBLIC)


def _area(claims: list[object], members: np.ndarray) -> float:
    scores = claims[-1].scores.astype(float)  # type: ignore[attr-defined]
    return auc(scores[members], scores[~members]).value


@pytest.mark.parametrize(("attack", "rung"), CASES, ids=lambda x: str(x).split("(")[0])
def test_positive_control_a_model_that_memorised_gives_its_members_away(attack, rung) -> None:
    module, asked, members, pool = memorised()
    claims = attacked(attack, module, rung, _known(asked, pool))
    assert isinstance(claims[-1], Scores)
    assert _area(claims, members) > 0.85


@pytest.mark.parametrize(("attack", "rung"), CASES, ids=lambda x: str(x).split("(")[0])
def test_negative_control_a_model_of_other_records_gives_chance(attack, rung) -> None:
    """No candidate trained it: whatever the bits say, the interval of the judge holds one half."""
    elsewhere = fit(digits()[1], 4)
    claims = attacked(attack, elsewhere, rung, _known(digits()[0], references()))
    verdict = MembershipJudge(bits(), digits()[0].inputs).judge(claims)
    assert verdict.status == "measured"
    found = verdict.figures[0].measured
    wide = 0.02  # sixteen intervals of 95 % are asked to hold: one may just miss
    assert found.interval.low - wide <= 0.5 <= found.interval.high + wide


def test_references_are_worth_more_than_the_loss_alone() -> None:
    known = _known(digits()[0], references())
    loss = _area(attacked(LossThreshold(), target(), Rung.LOGITS, known), bits())
    areas = {
        "lira": _area(attacked(Lira(), target(), Rung.LOGITS, known), bits()),
        "rmia": _area(attacked(Rmia(), target(), Rung.LOGITS, known), bits()),
        "gradients": _area(attacked(GradientMembership(), target(), Rung.WEIGHTS, known), bits()),
    }
    assert all(area > loss + 0.03 for area in areas.values()), (loss, areas)


def test_permuted_membership_bits_give_chance() -> None:
    known = _known(digits()[0], references())
    scores = attacked(Lira(), target(), Rung.LOGITS, known)[-1].scores  # type: ignore[attr-defined]
    mixed = np.random.default_rng(2).permutation(bits())
    assert auc(scores[mixed].astype(float), scores[~mixed].astype(float)).interval.holds(0.5)


def test_label_neighbours_spend_what_the_budget_allows() -> None:
    known = _known(digits()[0], references())
    claims = attacked(LabelNeighbours(), target(), Rung.LABEL, known, queries=4000)
    assert [claim.queries for claim in claims] == [1000, 4000]
    with pytest.raises(ExposureRefused, match="budget"):
        attacked(LabelNeighbours(), target(), Rung.LABEL, known, queries=999)


def test_references_over_other_records_are_refused() -> None:
    known = _known(digits()[1], references())
    with pytest.raises(ExposureRefused, match="halves"):
        attacked(Lira(), target(), Rung.LOGITS, known)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(3, 40), st.integers(0, 2**31))
def test_log_odds_are_those_of_the_softmax(classes: int, rows: int, seed: int) -> None:
    by = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=by, dtype=torch.float64) * 3
    labels = torch.randint(0, classes, (rows,), generator=by)
    own = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    assert torch.allclose(likelihood.scaled(logits, labels), torch.logit(own), atol=1e-6)


def test_rmia_is_the_share_of_pairs_won() -> None:
    by = torch.Generator().manual_seed(1)
    mine, theirs = torch.rand(40, generator=by), torch.rand(6, 40, generator=by)
    members = torch.arange(6)[:, None] % 2 == torch.arange(40) % 2
    ratio = mine / ((theirs * members).sum(0) / 3 + (theirs * ~members).sum(0) / 3) * 2
    wins = (ratio[:, None] > 1.5 * ratio[None]).float().mean(1)
    found = likelihood.rmia(mine, theirs, members, gamma=1.5)
    assert torch.allclose(found, wins, atol=1e-6)


def test_offline_lira_keeps_its_order_far_out() -> None:
    """Beyond eight deviations a probability is 1 in float32; its log-odds still rise."""
    theirs = torch.randn(10, 1, generator=torch.Generator().manual_seed(0)).expand(10, 3)
    outside = torch.zeros(10, 3, dtype=torch.bool)
    scores = likelihood.lira_offline(torch.tensor([5.0, 20.0, 60.0]), theirs, outside)
    assert torch.isfinite(scores).all()
    assert scores[0] < scores[1] < scores[2]
