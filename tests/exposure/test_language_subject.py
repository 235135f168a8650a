"""A language model as a subject: attacks tell a leaky model from an innocent one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from strongroom.exposure.audit import run
from strongroom.exposure.cell import Cell
from strongroom.exposure.data import Canary, Corpus, Text
from strongroom.exposure.plan import omitted, plan
from strongroom.exposure.registry import chosen
from strongroom.exposure.resume import Journal
from strongroom.exposure.subjects.interface import SCALES
from strongroom.exposure.subjects.language import LanguageSubject
from strongroom.exposure.targets.in_process_language import LanguageModel

from .language import tiny

NAMES = ("text-loss", "base-ratio", "min-k-plus", "canary", "discoverable", "final-layer")


def cells(module: Any, folder: Path, *, base: Any = None) -> dict[str, Cell]:
    texts = tuple(Text(text, n < 60) for n, text in enumerate(tiny.texts()))
    canaries = tuple(Canary(s.prefix, s.digits, 6 * (n < 4)) for n, s in enumerate(tiny.secrets()))
    model = LanguageModel(module, tiny.tokenizer(), (), 128)
    scale = SCALES["quick"]
    subject = LanguageSubject(model, Corpus(texts, canaries), base, scale, {})
    planned = [
        each
        for each in plan(subject, chosen("causal-lm", NAMES), (), scale)
        if each.rung.value == "logits"
    ]
    journal = Journal(folder, {"of": str(id(module))})
    found = run(subject, planned, scale, seed=0, command="x", versions={}, journal=journal)
    again = run(subject, planned, scale, seed=0, command="x", versions={}, journal=journal)
    assert again == found, "finished cells are not measured again"
    return {cell.attack: cell for cell in found}


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cell]:
    return cells(tiny.leaky(), tmp_path_factory.mktemp("leaky"), base=tiny.base())


def test_what_was_learnt_by_heart_shows(leaky: dict[str, Cell]) -> None:
    assert len(leaky) == 6
    for name, cell in leaky.items():
        assert cell.status == "measured", f"{name}: {cell.why}"
        assert cell.spent.queries > 0
    for name in ("text-loss", "base-ratio", "min-k-plus-plus"):
        assert leaky[name].figures[0].measured.interval.low > 0.55, name
    assert leaky["canary-exposure"].figures[0].measured.value > 15
    assert leaky["discoverable-extraction"].figures[0].measured.value > 0.3
    assert leaky["final-layer"].figures[0].measured.value == 1


def test_an_innocent_model_gives_the_null(tmp_path: Path) -> None:
    found = cells(tiny.base(), tmp_path)
    assert found["base-ratio"].status == "unknown"
    assert "--base" in found["base-ratio"].why
    assert found["text-loss"].figures[0].measured.interval.holds(0.5)
    assert found["text-loss"].severity == "none"
    assert found["canary-exposure"].severity in {"none", "low"}
    assert found["discoverable-extraction"].severity == "none"


def test_what_a_small_budget_cannot_do_is_left_to_a_larger_one_and_said() -> None:
    subject = LanguageSubject(tiny.language(tiny.base()), None, None, SCALES["quick"], {})
    attacks = chosen("causal-lm", ("logit-bias",))

    def planned(budget: str) -> set[tuple[str, str]]:
        cells = plan(subject, attacks, (), SCALES[budget])
        return {(each.attack.name, each.rung.value) for each in cells}

    door = {("logit-bias", "topk"), ("logit-bias-rankings", "text")}
    assert planned("quick") == door
    lax = {("logit-bias", "logits"), ("logit-bias-rankings", "logits")}
    assert planned("standard") == door | lax
    left = omitted(subject, attacks, plan(subject, attacks, (), SCALES["quick"]), ())
    assert {(each.attack, each.rung) for each in left} == lax
    assert all("--budget standard" in each.why for each in left)
