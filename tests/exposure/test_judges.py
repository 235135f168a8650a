"""Judges find what leaks, give the null where nothing does, and believe nobody."""

from __future__ import annotations

import numpy as np
import pytest

from strongroom.exposure.interface import (
    Alarms,
    Clone,
    Facts,
    Inputs,
    Prompts,
    Ranks,
    Reconstructions,
    Scores,
    Spending,
    Texts,
)
from strongroom.exposure.judge.abuse import AbuseJudge
from strongroom.exposure.judge.blind import blind_baseline, text_features
from strongroom.exposure.judge.cloning import CloningJudge
from strongroom.exposure.judge.evasion import EvasionJudge
from strongroom.exposure.judge.extraction import CanaryJudge, VerbatimJudge
from strongroom.exposure.judge.facts import FactsJudge, Truth
from strongroom.exposure.judge.inversion import InversionJudge
from strongroom.exposure.judge.membership import MembershipJudge
from strongroom.exposure.judge.output import OutputJudge
from strongroom.exposure.judge.tampering import TamperingJudge

from .small import digits, some, trained

CHANCE = np.random.default_rng(4)
BITS = np.r_[np.ones(300, bool), np.zeros(700, bool)]
FEATURES = CHANCE.normal(size=(1000, 8))


def membership(bits: np.ndarray = BITS) -> MembershipJudge:
    return MembershipJudge(bits, FEATURES[: len(bits)])


def test_scores_that_tell_are_found() -> None:
    verdict = membership().judge([Scores(10, BITS + CHANCE.normal(0, 0.3, 1000))])
    assert verdict.status == "measured"
    assert verdict.figures[0].measured.interval.low > verdict.figures[0].null.interval.high
    assert verdict.severity == "critical"
    assert [figure.metric for figure in verdict.figures] == ["AUC", "TPR at 1.0% FPR"]
    assert "0.1% FPR needs 6,000 non-members, there are 700" in verdict.why
    assert len(verdict.records) == 1000
    assert verdict.records[0].member


@pytest.mark.parametrize("what", ["random scores", "permuted bits"])
def test_scores_without_information_give_the_null(what: str) -> None:
    """The interval holds one half, over many draws as often as it says."""
    held, severe = [], []
    for seed in range(40):
        chance = np.random.default_rng(seed)
        bits = BITS
        if what == "random scores":
            scores = chance.normal(size=1000)
        else:
            scores, bits = BITS + chance.normal(0, 0.3, 1000), chance.permutation(BITS)
        verdict = membership(bits).judge([Scores(1, scores)])
        held.append(verdict.figures[0].measured.interval.holds(0.5))
        severe.append(verdict.severity != "none")
    assert np.mean(held) >= 0.85
    assert np.mean(severe) <= 0.08


def test_too_few_records_are_not_measurable() -> None:
    verdict = MembershipJudge(BITS[290:], FEATURES[290:]).judge([Scores(1, np.zeros(710))])
    assert verdict.status == "not_measurable"
    assert "Needs 20 members" in verdict.why


def test_a_split_that_a_blind_baseline_separates_is_refused() -> None:
    features = FEATURES.copy()
    features[:300, 0] += 2
    verdict = MembershipJudge(BITS, features).judge([Scores(1, BITS.astype(float))])
    assert verdict.status == "refused"
    assert "blind baseline" in verdict.why
    assert verdict.severity == "unknown"


def test_the_blind_baseline_leaves_an_honest_split_alone() -> None:
    refused = [
        blind_baseline(FEATURES, np.random.default_rng(i).permutation(BITS), seed=i)[1]
        for i in range(40)
    ]
    assert not any(refused)


def test_the_blind_baseline_reads_texts() -> None:
    news = [f"in 2026 the model {n} was released" for n in range(60)]
    old = [f"the telegraph of {n} words arrived" for n in range(60)]
    bits = np.r_[np.ones(60, bool), np.zeros(60, bool)]
    assert blind_baseline(text_features(news + old), bits, seed=0)[1]
    assert not blind_baseline(text_features(news + news), bits, seed=0)[1]


def test_a_claim_of_another_kind_is_a_defect() -> None:
    for bad in ([], [Texts(1, ())], [Scores(1, np.zeros(3))]):
        with pytest.raises(TypeError):
            membership().judge(bad)


def cloning() -> CloningJudge:
    held = some(1200, 1700)
    answers = trained().logits(held.inputs).argmax(1)
    return CloningJudge(held, answers, (some(0, 50).inputs, answers[:50]))


def test_a_clone_is_measured_by_its_answers() -> None:
    perfect = Clone(1600, trained().logits)
    random = Clone(100, lambda rows: np.random.default_rng(0).normal(size=(len(rows), 10)))
    verdict = cloning().judge([random, perfect])
    assert verdict.figures[0].measured.value == 1
    assert verdict.severity == "critical"
    assert verdict.sentence == "1,600 queries copied 100% of its answers."
    assert [point.queries for point in verdict.curve] == [100, 1600]
    null = cloning().judge([random])
    assert null.figures[0].measured.interval.low < null.figures[0].null.interval.high
    assert null.severity == "none"


def evasion() -> EvasionJudge:
    return EvasionJudge(
        some(1200, 1300),
        lambda rows: trained().logits(rows).argmax(1),
        epsilon=2.0,
        bounds=(0.0, 16.0),
    )


def test_perturbations_are_checked() -> None:
    clean, labels = some(1200, 1300).inputs, some(1200, 1300).labels
    others = np.array([digits().inputs[digits().labels == (y + 1) % 10][0] for y in labels])
    step = np.clip(others - clean, -2, 2)
    near = evasion().judge([Inputs(5, np.clip(clean + step, 0, 16))])
    cheating = evasion().judge([Inputs(5, others)])
    assert near.figures[0].measured.value > 0.02
    assert cheating.figures[0].measured.value <= 0.01
    nothing = evasion().judge([Inputs(5, clean)])
    assert (nothing.figures[0].measured.value, nothing.severity) == (0, "none")
    outside = evasion().judge([Inputs(5, clean - 1.0)])
    assert outside.figures[0].measured.value == 0
    assert evasion().judge([Inputs(5, np.full_like(clean, np.nan))]).figures[0].measured.value == 0


def test_inversion_is_held_against_what_needs_no_model() -> None:
    classes = np.arange(10)
    data, held = some(0, 400), some(1000, 1400)

    def evaluate(rows: np.ndarray) -> np.ndarray:
        logits = trained(seed=2).logits(rows.astype(np.float32))
        chances = np.exp(logits - logits.max(1, keepdims=True))
        return chances / chances.sum(1, keepdims=True)

    means = np.array([held.inputs[held.labels == c].mean(0) for c in classes])
    noise = np.random.default_rng(0).uniform(0, 16, means.shape).astype(np.float32)
    members = np.array([data.inputs[data.labels == c][0] for c in classes])
    judge = InversionJudge(classes, evaluate, noise, data, held)
    leak = judge.judge([Reconstructions(1, members)])
    assert leak.severity == "critical"
    assert leak.figures[1].measured.value == 1
    same = InversionJudge(classes, evaluate, means, data, held)
    assert same.judge([Reconstructions(1, means)]).severity == "none"


def canaries(copies: list[int], ranks: list[int]):  # type: ignore[no-untyped-def]
    claim = Ranks(9, np.array(ranks, float), 10**6, (True,) * len(ranks))
    return CanaryJudge(copies).judge([claim])


def test_canaries() -> None:
    unseen = [300_000, 800_000, 500_000, 20_000]
    found = canaries([16] * 4 + [0] * 4, [0, 0, 0, 3, *unseen])
    assert found.figures[0].measured.value == pytest.approx(19.43, abs=0.01)
    assert found.figures[0].p_value < 1e-6
    assert found.severity == "critical"
    assert found.sentence.startswith("3 of 4 planted secrets are the model's first guess")
    nothing = canaries([16] * 4 + [0] * 4, unseen[::-1] + unseen)
    assert nothing.severity == "none"
    assert nothing.figures[0].p_value > 0.05
    assert canaries([1, 0], [0, 0]).status == "not_measurable"
    with pytest.raises(TypeError):
        canaries([16] * 4 + [0] * 4, [-1] * 8)


def test_never_seen_canaries_have_the_exposure_of_the_paper() -> None:
    ranks = np.random.default_rng(1).integers(0, 10**6, 4000)
    found = canaries([1] * 2000 + [0] * 2000, ranks.tolist())
    assert found.figures[0].null.interval.holds(1 / np.log(2))
    assert found.severity == "none"


def test_verbatim() -> None:
    suffixes = [f"answer {n}" for n in range(40)]
    trained_on = [True] * 20 + [False] * 20
    says = tuple((f" answer {n} and more",) if n < 10 else ("other",) for n in range(40))
    verdict = VerbatimJudge(suffixes, trained_on).judge([Texts(40, says)])
    assert verdict.figures[0].measured.value == 0.5
    assert verdict.figures[0].null.value == 0
    assert verdict.severity == "critical"
    null = VerbatimJudge(suffixes, trained_on).judge([Texts(40, (("no",),) * 40)])
    assert null.severity == "none"


def test_facts() -> None:
    layer = np.random.default_rng(0).normal(size=(30, 4))
    truths = {"width": Truth(4, chance=0.01), "layer": Truth(layer, within=1e-4, up_to_map=True)}
    judge = FactsJudge(truths)
    right = judge.judge([Facts(9, {"width": 4, "layer": layer @ np.diag([1.0, 2, 3, 4])})])
    assert right.figures[0].measured.value == 1
    assert right.figures[1].measured.value < 1e-12
    noise = np.random.default_rng(1).normal(size=(30, 4))
    wrong = judge.judge([Facts(9, {"width": 5, "layer": noise, "more": 1})])
    assert wrong.figures[0].measured.value == 0
    assert wrong.severity == "none"
    assert judge.judge([Facts(9, {"layer": layer[:, :2]})]).figures[0].measured.value == 0


def test_targeted_output() -> None:
    losses = {"plain": 5.0, "random": 4.9, "found": 2.0}
    judge = OutputJudge(
        lambda _, prompt: losses[prompt], ["plain"] * 4, ["random"] * 4, lambda _, p: p == "found"
    )
    verdict = judge.judge([Prompts(100, ("found",) * 4, 100)])
    assert verdict.figures[0].measured.value == pytest.approx(3)
    assert verdict.severity == "high"
    assert verdict.figures[1].measured.value == 1
    assert judge.judge([Prompts(100, ("random",) * 4, 100)]).severity == "none"


def test_tampering() -> None:
    judge = TamperingJudge([True] * 6 + [False] * 6, ["bit flip"] * 6 + ["none"] * 6)
    sees = judge.judge([Alarms(0, (True,) * 6 + (False,) * 6, np.zeros(12))])
    assert sees.severity == "none"
    assert "Caught 6 of 6" in sees.sentence
    blind = judge.judge([Alarms(0, (False,) * 12, np.zeros(12))])
    assert blind.severity == "critical"
    assert "missed: bit flip" in blind.sentence
    assert "clean" not in blind.sentence


def test_abuse() -> None:
    judge = AbuseJudge("tokens", "tokens")

    def spent(each: float) -> list[Spending]:
        return [Spending(2 * n, {"tokens": each * n}, {"tokens": 16.0 * n}) for n in range(1, 5)]

    verdict = judge.judge(spent(160.0))
    assert verdict.figures[0].measured.value == 10
    assert verdict.severity == "critical"
    assert judge.judge(spent(16.0)).severity == "none"
    assert judge.judge(spent(160.0)[:2]).status == "not_measurable"
    assert judge.judge([Spending(1, {"tokens": 9.0}, {"tokens": 0.0})] * 3).status == (
        "not_measurable"
    )
