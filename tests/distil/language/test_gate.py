"""What a student of a language model is refused for, each beside one that passes."""

from __future__ import annotations

import statistics
from dataclasses import replace

import msgspec
import pytest
import torch

from strongroom.distil.beside import Beside
from strongroom.distil.checks import Check, Verdict
from strongroom.distil.language import gate, leakage
from strongroom.distil.language.overlap import near_copies
from strongroom.distil.language.plan import Asked
from strongroom.distil.language.utility import Reading
from strongroom.distil.language.words import foretold
from strongroom.distil.similarity import matrices
from strongroom.exposure.targets.in_process_language import LanguageModel

from . import gated

AREA, RATE = "AUC of finding the teacher's texts", "TPR of finding them at 1 % FPR"
MEAN = "exposure of planted secrets, bits: mean"


@pytest.fixture(scope="session")
def clean() -> tuple[LanguageModel, Asked]:
    target = gated.workshop().target()
    return gated.workshop().student(target), target.spent()


def named(found: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in found}


def failures(verdict: Verdict) -> set[str]:
    print(msgspec.json.encode(verdict.checks).decode())
    return {check.name for check in verdict.failures}


def test_a_student_of_text_passes(clean: tuple[LanguageModel, Asked]) -> None:
    student, asked = clean
    verdict = gate.judge(student, gated.untaught(), gated.workshop(), asked)
    assert not failures(verdict)
    texts, canaries = verdict.cells
    assert (texts.rung, texts.status, texts.records) == ("student", "measured", ())
    assert texts.figures[0].null.interval.holds(0.5)
    assert canaries.status == "measured"
    # the same student is refused where more was asked, where too little is known, and where its
    # tokens are others, so that it cannot be compared with what the teacher told nothing
    few = replace(gated.texts_divided(), others=gated.texts_divided().others[:300], canaries=())
    corpus = (*few.corpus, " ".join(gated.texts()[0].split()[:11]))
    shop = replace(gated.workshop(), division=replace(few, corpus=corpus, overlap=1))
    more = Asked(asked.positions, 1, gated.workshop().plan.asked.bits + 1)
    texts_found, _ = gate._membership(student, gated.untaught(), shop)
    secrets, _ = gate._canaries(student, shop)
    bounds = [*gate._asked(more, shop.plan.asked), *gate._overlap(shop)]
    found = named((*texts_found, *secrets, *bounds))
    assert {name for name, check in found.items() if check.outcome == "failed"} >= {
        RATE,
        MEAN,
        "coordinates that the teacher told",
        "bits that the teacher told",
        "training texts and secrets in the corpus",
    }
    assert "needs 600 non-members, there are 300" in found[RATE].note
    assert found[MEAN].value is None
    other = replace(gated.untaught(), tokenizer=gated.teacher().tokenizer)
    checks, cells = gate._membership(student, other, gated.workshop())
    assert [check.outcome for check in checks] == ["failed", "failed"]
    assert not cells


@pytest.fixture(scope="session")
def by_heart() -> LanguageModel:
    """What it should not know stood four times in its corpus, the secrets 24 times."""
    return gated.taught_besides([*gated.texts()[: gated.MEMBERS], *gated.planted()], 4)


def test_who_learnt_the_members_by_heart_is_refused(by_heart: LanguageModel) -> None:
    found, (cell,) = gate._membership(by_heart, gated.untaught(), gated.workshop())
    print(found)
    assert [check.outcome for check in found[:2]] == ["failed", "failed"]
    assert (named(tuple(found))[AREA].value or 0) > 0.65
    assert cell.figures[0].p_value < 1e-6


def test_who_learnt_a_secret_by_heart_is_refused(by_heart: LanguageModel) -> None:
    found, _ = gate._canaries(by_heart, gated.workshop())
    print(found)
    assert [check.outcome for check in found] == ["failed", "failed"]
    exposed = leakage.exposed(by_heart, gated.owner().canaries, 0)
    # Not all four: what so small a model learns by heart differs with the processor's sums.
    assert exposed.exact >= 2
    assert exposed.bits is not None
    assert statistics.mean(exposed.bits) > 6


def test_who_began_with_the_teacher_s_layers_needs_a_grant() -> None:
    shop = gated.begun_with_the_teacher()
    student, beside = shop.student(shop.target()), gate.untaught(shop)
    refused = list(gate._likeness(student, beside, gated.without_grants(shop)))
    print(refused)
    assert [check.outcome for check in refused] == ["failed", "failed"]
    assert all((check.value or 0) > 0.8 for check in refused)
    assert [check.outcome for check in gate._likeness(student, beside, shop)] == ["granted"] * 2


def test_who_holds_another_sealed_model_is_refused(clean: tuple[LanguageModel, Asked]) -> None:
    """The other has the teacher's shape and the student's words, and was taught by nobody here."""
    student, shop = clean[0], gated.workshop()
    other = gate.untaught(replace(shop, plan=gated.plan(seed=7)))
    sealed = Beside("7" * 64, matrices(other.module), other)
    plain = Beside("8" * 64, matrices(other.module))

    def found(judged: LanguageModel) -> list[Check]:
        *_, tensors, function, alone = gate._likeness(
            judged, gated.untaught(), shop, (sealed, plain)
        )
        assert tensors.value == alone.value
        assert [check.name for check in (tensors, function, alone)] == [
            "likeness to the tensors of sealed model 7777777777777777",
            "likeness to the fingerprint of sealed model 7777777777777777",
            "likeness to the tensors of sealed model 8888888888888888",
        ]
        return [tensors, function]

    assert [check.outcome for check in found(student)] == ["passed", "passed"]
    refused = found(other)
    assert [check.outcome for check in refused] == ["failed", "failed"]
    assert all((check.value or 0) > 0.9 for check in refused)
    wide = Beside("9" * 64, [torch.randn(17, 31)])
    *_, told = gate._likeness(student, gated.untaught(), shop, (wide,))
    assert (told.outcome, told.value) == ("told", None)
    assert "no matrix of a width in common" in told.note


def test_a_word_is_foretold_only_whole_and_ended() -> None:
    text = "a bade fi go"
    following = {1: " ba", 4: "de", 6: " fi", 9: " hu", 12: "."}
    assert foretold([Reading(0.0, 4, 11, following)], [text]) == pytest.approx(2 / 3)
    assert foretold([Reading(0.0, 4, 11, following | {6: "fi"})], [text]) == 0.0
    assert foretold([Reading(0.0, 0, 0, {})], [text]) is None


def test_a_text_is_nearly_in_a_corpus_by_its_runs() -> None:
    text = " ".join(f"word{n}" for n in range(20))
    said = text.replace("word3 ", "other ").upper()
    assert near_copies([text], [f"before, {said} after"]) == 1
    assert near_copies([text], [" ".join(reversed(text.split()))]) == 0
    assert near_copies(["short one"], ["a short one there"]) == 1
    assert near_copies([text], []) == 0
