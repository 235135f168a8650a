"""The crosswalk names only ids that are listed and controls that are described."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.exposure import registry
from strongroom.exposure.interface import Family
from strongroom.standards.crosswalk import CROSSWALK, Threat
from strongroom.standards.ids import FRAMEWORKS, IDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("threat", CROSSWALK, ids=lambda threat: threat.name)
def test_a_threat_stands_on_what_exists(threat: Threat) -> None:
    assert threat.ids
    assert threat.controls
    assert set(threat.ids) <= set(IDS)
    assert set(threat.families) <= {family.value for family in Family}
    for control in threat.controls:
        assert (DOCS / control.page).is_file(), control
        assert (control.met_by == "not met") == (control.grade == "unknown")


def test_every_family_has_a_threat() -> None:
    covered = {family for threat in CROSSWALK for family in threat.families}
    assert covered == {family.value for family in Family}


@pytest.mark.parametrize("kind", ["classifier", "causal-lm"])
def test_every_id_of_an_attack_is_listed(kind: str) -> None:
    attacks = registry.attacks_on(kind)
    assert attacks
    for attack in attacks:
        assert attack.taxonomy, attack.name
        assert set(attack.taxonomy) <= set(IDS), attack.name


def test_ids_are_data_of_known_editions() -> None:
    editions = {(each.name, each.version): each for each in FRAMEWORKS}
    assert len(editions) == len(FRAMEWORKS)
    assert {(found.framework, found.version) for found in IDS.values()} == set(editions)
    for name, found in IDS.items():
        assert name == f"{found.framework}:{found.id}"
        assert found.basis == editions[found.framework, found.version].basis
        assert " " not in found.id


def test_a_threat_with_an_id_of_owasps_last_list_has_one_of_its_newest() -> None:
    for threat in CROSSWALK:
        years = {IDS[name].version for name in threat.ids if IDS[name].framework == "OWASP-LLM"}
        assert years in (set(), {"2025", "2026"}), threat.name
