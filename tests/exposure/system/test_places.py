"""What a policy or a budget does not allow a drill to do is said, and never passed over."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom.artifact.policy import EgressCeiling
from strongroom.cli.auditing_system import deployment_budget, places
from strongroom.cli.settings import Settings
from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import Budget
from strongroom.exposure.ladder import Rung
from strongroom.exposure.plan import plan
from strongroom.exposure.registry import attacks_on
from strongroom.exposure.subjects.classifier import ClassifierSubject
from strongroom.exposure.subjects.interface import SCALES
from strongroom.exposure.subjects.system import Place, Whole
from tests.exposure.small import CONFIG, trained

HOME: Any = SimpleNamespace(settings=Settings())
DOOR: Any = SimpleNamespace(keys={Rung.TOP1: "k", Rung.LABEL: "k"})
BUDGET = Budget(10, 1.0)


def model(rungs: dict[str, str], ceiling: EgressCeiling | None = None) -> Any:
    return SimpleNamespace(
        rungs=rungs, config=CONFIG, tensors={}, files={}, deployment=ceiling, tenant=None
    )


def of(found: list[Place], name: str) -> Place:
    attack = next(each for each in attacks_on("classifier") if each.name == name)
    return next(place for place in found if place.at(attack))


@pytest.mark.parametrize("name", ["sponge", "many-keys", "activity-timing"])
def test_a_policy_of_named_organisations_has_no_room_for_a_drill(name: str) -> None:
    found = places(HOME, model({"acme": "label"}), DOOR, "classifier", ExitStack(), 0)
    place = of(found, name)
    assert place.rungs == (Rung.LABEL,)
    with pytest.raises(ExposureRefused, match="which it does not name") as caught:
        place.target(Rung.LABEL, BUDGET)
    assert caught.value.code == "exposure.knowledge_lacking"


def test_a_ceiling_that_lets_nothing_leave_leaves_nothing_to_drill() -> None:
    shut = model({"*": "label"}, EgressCeiling(0, 0))
    found = places(HOME, shut, DOOR, "classifier", ExitStack(), 0)
    with pytest.raises(ExposureRefused, match="nothing may leave"):
        of(found, "exfiltration").target(Rung.LABEL, BUDGET)
    sealed = EgressCeiling(1000, 2000)
    assert deployment_budget(HOME, model({"*": "label"}, sealed)).bits_per_day == 2000


def test_without_a_door_only_the_files_are_attacked_beside_the_model() -> None:
    subject = ClassifierSubject(trained(), CONFIG, None, SCALES["quick"], {})
    whole = Whole(subject, places(HOME, model({}), None, "classifier", ExitStack(), 0))
    planned = plan(whole, attacks_on("classifier"), (), SCALES["quick"])
    system = {(each.attack.name, each.rung) for each in planned if each.attack.system}
    assert system == {("sealed-edit", Rung.CLOSED)}
    assert whole.rungs == (Rung.CLOSED, *subject.rungs)


def test_attacks_on_the_system_are_no_business_of_a_model() -> None:
    subject = ClassifierSubject(trained(), CONFIG, None, SCALES["quick"], {})
    for attack in attacks_on("classifier"):
        assert (subject.at(attack) is None) == attack.system, attack.name
