"""Every edit of a sealed model is refused; a reader that looks at less misses what it skips."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from strongroom.artifact.manifest import read_manifest
from strongroom.errors import ArtifactRefused, ExposureRefused
from strongroom.exposure.attacks.system import planted_backdoors, sealed_edit
from strongroom.exposure.attacks.system.planted_backdoors import PlantedBackdoors
from strongroom.exposure.attacks.system.sealed_edit import EDITS, SealedEdit
from strongroom.exposure.attacks.vision.references import References
from strongroom.exposure.interface import Alarms, Budget, Knowledge, Knows
from strongroom.exposure.judge.interface import Verdict
from strongroom.exposure.judge.tampering import TamperingJudge
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from tests.artifact.models import TRUST, Sealed, seal_model, write_model
from tests.exposure.vision.world import PUBLIC, RECIPE, attacked, chosen, digits, fit, target

BUDGET = Budget(1000, 60.0)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    work = tmp_path_factory.mktemp("sealed")
    return seal_model(write_model(work / "plain"), work / "sealed")


def files(sealed: Sealed, work: Path, opens: Callable[[Path], object]) -> Any:
    """A target whose reader is ``opens``."""
    meter = Meter(BUDGET.queries)

    def fresh() -> Path:
        shutil.rmtree(work / "copy", ignore_errors=True)
        return shutil.copytree(sealed.folder, work / "copy", copy_function=hard_link)

    def ask(folder: Path) -> str:
        meter.charge(1)
        try:
            opens(folder)
        except ArtifactRefused as error:
            meter.refused(error.code)
            return error.code
        return ""

    return close({"fresh": fresh, "opens": ask, "spent": meter.spent})


def hard_link(source: str, copy: str) -> None:
    """As the audit does: an edit in place would be an edit of the owner's file."""
    Path(copy).hardlink_to(source)


def judged(given: Any) -> Verdict:
    claims = SealedEdit().run(given, Knowledge(Knows.NOTHING), BUDGET, 7)
    judge = TamperingJudge(sealed_edit.altered(), sealed_edit.named())
    return judge.judge(claims)


def test_every_edit_is_refused_by_its_code_and_nothing_else_is(
    sealed: Sealed, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in sealed.folder.iterdir()}
    given = files(
        sealed, tmp_path, lambda folder: Sealed(folder, sealed.key, sealed.manifest).open()
    )
    verdict = judged(given)
    missed, alarms = verdict.figures
    assert missed.measured.value == 0, verdict.sentence
    assert alarms.measured.value == 0
    assert verdict.severity == "none"
    codes = given.spent().refusals
    assert sum(codes.values()) == len(EDITS)
    assert {"artifact.segment_altered", "artifact.signature_invalid", "artifact.truncated"} <= set(
        codes
    )
    assert {path.name: path.read_bytes() for path in sealed.folder.iterdir()} == before


def test_a_reader_of_manifests_alone_misses_the_bodies(sealed: Sealed, tmp_path: Path) -> None:
    verdict = judged(files(sealed, tmp_path, lambda folder: read_manifest(folder, TRUST)))
    assert verdict.figures[0].measured.value > 0.3
    assert "a bit of the weights" in verdict.sentence
    assert verdict.severity in {"high", "critical"}


def test_a_reader_that_opens_nothing_is_no_guard(sealed: Sealed, tmp_path: Path) -> None:
    def never(folder: Path) -> None:
        raise ArtifactRefused("artifact.unreadable", "No.", action="Go.")

    verdict = judged(files(sealed, tmp_path, never))
    assert verdict.status == "refused"
    assert "fires on everything" in verdict.why


def test_planted_backdoors_are_found_among_clean_models() -> None:
    recipe = replace(RECIPE, epochs=15)
    halves = [np.arange(number % 2, 1000, 2) for number in range(4)]
    pool = tuple(fit(chosen(digits()[0], half), seed, recipe) for seed, half in enumerate(halves))
    members = torch.ones(4, 500, dtype=torch.bool)
    known = Knowledge(
        Knows.RECIPE,
        data=digits()[0],
        recipe=recipe,
        references=References(members, pool),
        public=PUBLIC,
    )
    drill = PlantedBackdoors(poisoned=1, edited=1, clean=1)
    claims = attacked(drill, target(), Rung.WEIGHTS, known)
    verdict = TamperingJudge(drill.altered(), drill.named()).judge(claims)
    assert verdict.figures[0].measured.value == 0, verdict.sentence
    assert verdict.figures[1].measured.value == 0, verdict.sentence


def test_a_backdoor_that_does_not_work_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted_backdoors, "_WORKS", 1.01)
    pool = References(torch.ones(4, 200, dtype=torch.bool), tuple(target() for _ in range(4)))
    known = Knowledge(
        Knows.RECIPE,
        data=digits()[0],
        recipe=replace(RECIPE, epochs=1),
        references=pool,
        public=PUBLIC,
    )
    with pytest.raises(ExposureRefused, match="works as planted"):
        attacked(PlantedBackdoors(poisoned=1, edited=0), target(), Rung.WEIGHTS, known)


def test_what_fires_on_nothing_misses_all() -> None:
    judge = TamperingJudge([True, True, False], ["a", "b", "nothing"], why="Something.")
    verdict = judge.judge([Alarms(3, (False, False, False), np.zeros(3))])
    assert verdict.figures[0].measured.value == 1
    assert verdict.why == "Something."
