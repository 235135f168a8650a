"""Evidence of other verbs: green only if this home signed it about this model, never if absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.errors import ExposureRefused
from strongroom.exposure.results import Evidence
from strongroom.report.canonical import canonical
from strongroom.report.evidence import gathered
from strongroom.report.html import render
from strongroom.report.statement import STATEMENT_TYPE, Signer, enveloped
from tests.exposure.made import cell, results

MODEL = "ab" * 32
KEY, STRANGER = Signer(b"k" * 32), Signer(b"s" * 32)
PASSED = {"name": "accuracy", "value": 0.97, "limit": 0.9, "outcome": "passed", "note": ""}
FAILED = {"name": "AUC", "value": 0.7, "limit": 0.55, "outcome": "failed", "note": ""}
DETECTED = {
    "suspect": "copy", "verdict": "copy", "likeness": 0.99, "most_alike_of_library": 0.03,
    "p": 1e-16, "p_by_rank": 0.09, "matched": [[0, 0]],
}  # fmt: skip

PROBED = {
    "suspect": "student", "radioactivity": "radioactive", "organisation": "acme", "scheme": "kgw",
    "p": 1e-4, "p_without_controls": 0.02, "controls": ["clean"], "other_keys": 9999,
    "committed": "2026-11-24 01:00 UTC",
}  # fmt: skip


def statement(
    folder: Path,
    *checks: dict[str, Any],
    signer: Signer = KEY,
    model: str = MODEL,
    kind: str = "urn:strongroom:student-release:v1",
) -> Path:
    predicate = {"plan": {"teacher": model}, "asked": 450, "verdict": {"checks": list(checks)}}
    stated = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model.safetensors", "digest": {"sha256": "cd" * 32}}],
        "predicateType": kind,
        "predicate": predicate,
    }
    path = folder / "release.json"
    path.write_bytes(enveloped(canonical(stated), signer))
    return path


def first(path: Path) -> Evidence:
    return gathered([path], KEY.public, MODEL)[0]


def test_what_this_home_signed_about_this_model_is_measured(tmp_path: Path) -> None:
    found = first(statement(tmp_path, PASSED))
    assert (found.kind, found.outcome, found.grade) == ("student", "passed", "measured")
    assert (found.source, found.about) == ("release.json", "model.safetensors")
    assert (found.told[0].value, found.told[0].limit) == ("0.97", "0.9")


@pytest.mark.parametrize(
    ("checks", "model", "outcome"),
    [
        ((PASSED, FAILED), MODEL, "failed"),
        ((), MODEL, "failed"),
        (({**PASSED, "value": None},), MODEL, "failed"),
        ((PASSED,), "ef" * 32, "unknown"),
    ],
)
def test_what_failed_was_not_made_or_is_about_another_model_is_not_good(
    tmp_path: Path, checks: tuple[dict[str, Any], ...], model: str, outcome: str
) -> None:
    assert first(statement(tmp_path, *checks, model=model)).outcome == outcome


def test_what_is_absent_is_unknown() -> None:
    found = gathered([], None, MODEL)
    assert {each.kind for each in found} == {"student", "adapter", "provenance"}
    assert {(each.outcome, each.grade) for each in found} == {("unknown", "unknown")}


def test_what_a_verb_printed_is_declared(tmp_path: Path) -> None:
    path = tmp_path / "detect.json"
    path.write_text(json.dumps(DETECTED))
    found = gathered([path], None, MODEL)
    assert (found[0].kind, found[0].grade, found[0].outcome) == ("provenance", "declared", "told")
    assert "likeness 0.99" in found[0].sentence
    path.write_text(json.dumps(PROBED))
    probed = first(path)
    assert (probed.kind, probed.grade, probed.about) == ("radioactivity", "declared", "student")
    assert "key of acme, committed 2026-11-24 01:00 UTC, p 0.0001 beside 1" in probed.sentence
    path.write_text(json.dumps({"places": [{}, {}, {}], "flagged": 1}))
    assert first(path).sentence.startswith("1 of 3 matrices")


@pytest.mark.parametrize("raw", ["", "[]", "{}", '{"payload": "e30=", "signatures": []}'])
def test_what_is_none_is_refused(tmp_path: Path, raw: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(raw)
    refused(path, KEY.public)


def test_signatures_of_strangers_other_statements_and_no_file_are_refused(tmp_path: Path) -> None:
    refused(statement(tmp_path, PASSED, signer=STRANGER), KEY.public)
    refused(statement(tmp_path, PASSED), None)
    refused(statement(tmp_path, PASSED, kind="https://example.org/other"), KEY.public)
    refused(tmp_path / "nothing", KEY.public)


def refused(path: Path, public: bytes | None) -> None:
    with pytest.raises(ExposureRefused) as error:
        gathered([path], public, MODEL)
    assert error.value.code == "exposure.evidence_refused"


def test_the_report_shows_each_with_its_grade_and_green_only_for_what_passed(
    tmp_path: Path,
) -> None:
    def page(*files: Path) -> str:
        rows = gathered(list(files), KEY.public, MODEL)
        return render(msgspec.structs.replace(results(cell()), evidence=rows)).decode()

    green = '<span class="tag none">passed</span>'
    assert green not in page()
    assert page().count('<span class="tag unknown">unknown</span>') >= 3
    found = page(statement(tmp_path, PASSED))
    assert green in found
    assert "release.json" in found
    assert green not in page(statement(tmp_path, FAILED))
