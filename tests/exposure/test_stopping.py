"""An attack that is stopped claims what it has; one that learnt nothing claims nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strongroom.errors import ExposureRefused
from strongroom.exposure.attacks.language.canary_exposure import CanaryExposure
from strongroom.exposure.attacks.vision.cloning import Cloning
from strongroom.exposure.attacks.vision.inversion import Inversion
from strongroom.exposure.attacks.vision.label_neighbours import LabelNeighbours
from strongroom.exposure.attacks.vision.rays import Rays
from strongroom.exposure.attacks.vision.square import Square
from strongroom.exposure.audit import measure
from strongroom.exposure.interface import Attack, Budget, Claim, Knowledge, Knows
from strongroom.exposure.ladder import Rung
from strongroom.exposure.model import Classifier
from strongroom.exposure.plan import Planned
from strongroom.exposure.subjects.interface import SCALES, Subject
from strongroom.exposure.targets.in_process import open_classifier
from strongroom.exposure.targets.in_process_language import open_language

from .language import tiny
from .vision.world import HIGH, PUBLIC, bits, chosen, digits, references, target

PLENTY = Budget(1_000_000, 60.0, (100, 400, 1600))
ASKED = 40


def knows(**more: Any) -> Knowledge:
    others = digits()[1]
    asked = chosen(others, np.arange(ASKED))
    public = {**PUBLIC, "epsilon": 0.2 * HIGH}
    return Knowledge(Knows.DATA, **{"asked": asked, "data": others, "public": public, **more})


def stopped(attack: Attack, rung: Rung, knowledge: Knowledge, queries: int) -> list[Claim]:
    """What is claimed where the target answers fewer queries than the attack was promised."""
    model = Classifier(target().eval(), (64,), (0.0, HIGH), PUBLIC["labels"])
    return list(
        attack.run(open_classifier(model, rung, Budget(queries, 60.0)), knowledge, PLENTY, 0)
    )


def misread(found: np.ndarray) -> int:
    model = Classifier(target().eval(), (64,), (0.0, HIGH), PUBLIC["labels"])
    asked = knows().asked
    before = model.logits(asked.inputs).argmax(1) == asked.labels
    return int((before & (model.logits(found).argmax(1) != asked.labels)).sum())


@pytest.mark.parametrize(("attack", "rung"), [(Square(), Rung.TOPK), (Rays(), Rung.LABEL)])
def test_evasion_keeps_what_was_misled_before(attack: Attack, rung: Rung) -> None:
    *curve, few = stopped(attack, rung, knows(), 20 * ASKED)
    *_, many = stopped(attack, rung, knows(), 10**6)
    assert [point.queries for point in curve] == [2 * ASKED, 10 * ASKED]  # of 100 and 400
    found = [misread(point.inputs) for point in (*curve, few)]  # type: ignore[attr-defined]
    assert found == sorted(found)
    some, all_of = misread(few.inputs), misread(many.inputs)  # type: ignore[attr-defined]
    assert 0 < some <= all_of
    assert few.queries <= 20 * ASKED < many.queries


def test_a_clone_is_made_of_the_answers_that_came() -> None:
    claims = stopped(Cloning(steps=200), Rung.LABEL, knows(), 300)
    assert [claim.queries for claim in claims] == [100, 292]  # 100 and three questions of 64


def test_an_inversion_stops_where_it_is() -> None:
    (claim,) = stopped(Inversion(), Rung.LOGITS, knows(asked=None), 1000)
    start = digits()[1].inputs.mean(0)
    assert not np.allclose(claim.inputs, start, atol=0.1)  # type: ignore[attr-defined]


def test_membership_by_labels_scores_with_fewer_copies() -> None:
    asked, pool = digits()[0], references()
    known = Knowledge(Knows.RECIPE, asked=asked, references=pool, public=PUBLIC)
    claims = stopped(LabelNeighbours(), Rung.LABEL, known, 3500)
    assert [claim.queries for claim in claims] == [1000, 3000]
    last = claims[-1].scores  # type: ignore[attr-defined]
    assert last[bits()].mean() > last[~bits()].mean()


def test_canaries_that_were_not_reached_are_guessed() -> None:
    leaky = open_language(tiny.language(tiny.leaky()), Rung.LOGITS, Budget(12, 60))
    (claim,) = CanaryExposure().run(leaky, tiny.knows(tiny.secrets()), tiny.PLENTY, 0)
    assert claim.exact[0]  # type: ignore[attr-defined]
    assert not claim.exact[-1]  # type: ignore[attr-defined]
    assert claim.ranks[-1] == (10**6 - 1) / 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("attack", "rung"),
    [
        (Square(), Rung.TOPK),
        (Rays(), Rung.LABEL),
        (Cloning(), Rung.LABEL),
        (Inversion(), Rung.LOGITS),
    ],
)
def test_who_learnt_nothing_claims_nothing(attack: Attack, rung: Rung) -> None:
    with pytest.raises(ExposureRefused, match=r"exposure\.budget_spent"):
        stopped(attack, rung, knows(**({"asked": None} if rung is Rung.LOGITS else {})), 10)


class Stopping(Subject):
    """A subject whose target stops before the attack is done."""

    kind, rungs = "classifier", (Rung.TOPK,)

    def __init__(self, claims: bool) -> None:
        self.served = {}
        self.answered = 20 * ASKED if claims else 10

    def facts(self) -> dict[str, str]:
        return {}

    def knowledge(self, *_: object) -> Knowledge:
        return knows()

    def in_process(self, rung: Rung, _budget: Budget) -> Any:
        model = Classifier(target().eval(), (64,), (0.0, HIGH), PUBLIC["labels"])
        return open_classifier(model, rung, Budget(self.answered, 60))

    def judge(self, *_: object) -> Any:
        from strongroom.exposure.judge.evasion import EvasionJudge

        asked = knows().asked
        model = Classifier(target().eval(), (64,), (0.0, HIGH), PUBLIC["labels"])
        return EvasionJudge(
            asked,
            lambda inputs: model.logits(inputs).argmax(1),
            epsilon=0.2 * HIGH,
            bounds=(0.0, HIGH),
            seed=0,
        )


@pytest.mark.parametrize("claims", [True, False])
def test_the_cell_says_that_it_was_stopped(claims: bool) -> None:
    planned = Planned(Square(), Rung.TOPK, Knows.NOTHING)
    cell = measure(Stopping(claims), planned, SCALES["quick"], seed=0, command="x", versions={})
    assert cell.spent.stopped == "exposure.budget_spent"
    if claims:
        assert cell.status == "measured"
        assert "the figure is what the attack had by then" in cell.why
    else:
        assert cell.status == "not_measurable"
