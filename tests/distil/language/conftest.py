"""The small teacher's texts, divided, and plans for it."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.distil.language.division import TextDivision, divide
from strongroom.distil.language.making import LanguageWorkshop
from strongroom.distil.language.plan import (
    Architecture,
    LanguageGrants,
    LanguagePlan,
    Schedule,
)

from .teacher import owner, public, teacher

EVERY = LanguageGrants(soft_labels=True, teacher_tensors=True, teacher_tokenizer=True)
SMALL = Architecture(layers=2, hidden=48, inner=96, heads=4, kv_heads=2, context=128)
SHORT = Schedule(steps=40, batch=16, length=32, rate=5e-3)


def plan(answers: str, positions: int = 10_000, **changes: Any) -> LanguagePlan:
    given: dict[str, Any] = {
        "teacher": "0" * 64,
        "model": "words",
        "records": "0" * 64,
        "answers": answers,
        "tokenizer": "own" if answers == "text" else "teacher",
        "vocabulary": 400,
        "prompt": 6,
        "continuation": 24,
        "architecture": SMALL,
        "schedule": SHORT,
        "grants": EVERY,
    }
    return LanguagePlan(**{**given, **changes}).declaring(positions)


@pytest.fixture(scope="session")
def texts() -> TextDivision:
    return divide(owner(), public(), 0)


def shop(texts: TextDivision, answers: str, positions: int = 10_000, **of: Any) -> LanguageWorkshop:
    return LanguageWorkshop(plan(answers, positions, **of), teacher(), texts)
