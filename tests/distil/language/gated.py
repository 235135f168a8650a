"""A small language with an owner, a teacher that knows his texts, and students good and bad."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import torch

from strongroom.distil.language import gate
from strongroom.distil.language.division import TextDivision, divide
from strongroom.distil.language.making import LanguageWorkshop, fresh
from strongroom.distil.language.plan import (
    Architecture,
    LanguageGrants,
    LanguageLimits,
    LanguagePlan,
    Schedule,
)
from strongroom.distil.language.training import Lessons, train
from strongroom.distil.language.vocabulary import own
from strongroom.exposure.data import Canary, Corpus, Text
from strongroom.exposure.targets.in_process_language import LanguageModel

SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]
WORDS = [one + other for one in SYLLABLES[::3] for other in SYLLABLES[1::3]][:450]
MEMBERS, OTHERS, PUBLIC = 200, 600, 900
LIMITS = LanguageLimits(tpr=0.04)
"""The rate of an innocent student is 0.01 to 0.03, by luck."""


@cache
def texts() -> tuple[str, ...]:
    """Sentences of twelve words in which each word has a likely follower."""
    by = random.Random(4)
    follows = {word: by.sample(WORDS, 3) for word in WORDS}
    found = []
    while len(found) < MEMBERS + OTHERS + PUBLIC:
        said = [by.choice(WORDS)]
        while len(said) < 12:
            said += by.choices(follows[said[-1]], (7, 2, 1))
        found.append(" ".join(said))
    return tuple(found)


@cache
def owner() -> Corpus:
    members = [Text(each, True) for each in texts()[:MEMBERS]]
    others = [Text(each, False) for each in texts()[MEMBERS : MEMBERS + OTHERS]]
    by = random.Random(5)
    canaries = [
        Canary(f"code of {WORDS[n]}: ", f"{by.randrange(10**4):04d}", 6 * (n % 2)) for n in range(8)
    ]
    return Corpus((*members, *others), tuple(canaries))


@cache
def public() -> Corpus:
    return Corpus(tuple(Text(each, False) for each in texts()[MEMBERS + OTHERS :]), ())


def planted() -> list[str]:
    return [each.prefix + each.secret for each in owner().canaries for _ in range(each.copies)]


def plan(**changes: Any) -> LanguagePlan:
    given: dict[str, Any] = {
        "teacher": "0" * 64,
        "model": "words",
        "records": "0" * 64,
        "corpus": "0" * 64,
        "vocabulary": 1200,
        "prompt": 6,
        "continuation": 24,
        "architecture": Architecture(
            layers=2, hidden=48, inner=96, heads=4, kv_heads=2, context=128
        ),
        "schedule": Schedule(steps=160, batch=16, length=32, rate=6e-3),
        "limits": LIMITS,
    }
    return LanguagePlan(**{**given, **changes}).declaring(4000)


@cache
def texts_divided() -> TextDivision:
    return divide(owner(), public(), 0)


@cache
def teacher() -> LanguageModel:
    """It has the members and the secrets, and public texts so that it has the language."""
    torch.set_num_threads(1)
    theirs = [*texts()[:MEMBERS], *planted(), *texts()[-400:]]
    return _of(plan(seed=1, schedule=Schedule(220, 16, 32, 6e-3)), theirs)


@cache
def workshop() -> LanguageWorkshop:
    return LanguageWorkshop(plan(), teacher(), texts_divided())


@cache
def untaught() -> LanguageModel:
    return gate.untaught(workshop())


@cache
def begun_with_the_teacher() -> LanguageWorkshop:
    """As if it had been granted; the plan that it is judged by does not say so."""
    given = LanguageGrants(teacher_tokenizer=True, teacher_tensors=True)
    made = plan(
        answers="labels", tokenizer="teacher", init="teacher-layers", grants=given,
        schedule=Schedule(steps=40, batch=16, length=32, rate=2e-3),
    )  # fmt: skip
    return replace(workshop(), plan=made)


def taught_besides(more: list[str], times: int) -> LanguageModel:
    """A student whose corpus was not what its division says."""
    shop = workshop()
    rows = shop.vocabulary.rows([*shop.division.corpus, *(more * times)], 33)
    module = fresh(shop.plan, shop.vocabulary)
    rows = rows[torch.randperm(len(rows)).numpy()]
    train(module, Lessons(torch.from_numpy(rows)), shop.plan)
    return replace(untaught(), module=module, _known={}, _scored={})


def _of(made: LanguagePlan, theirs: list[str]) -> LanguageModel:
    cut = own(theirs, made.vocabulary)
    torch.manual_seed(made.seed)
    module = fresh(made, cut)
    train(module, Lessons(torch.from_numpy(cut.rows(theirs, 33))), made)
    return LanguageModel(module, cut.tokenizer, (cut.end,), 128)


def without_grants(shop: LanguageWorkshop) -> LanguageWorkshop:
    return replace(shop, plan=msgspec.structs.replace(shop.plan, grants=LanguageGrants()))
