"""What is granted, what is declared, and whose texts serve for what."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.distil.language.division import divide
from strongroom.distil.language.plan import Asked, LanguageGrants, LanguagePlan
from strongroom.distil.plan import Plan, read_plan
from strongroom.errors import ExposureRefused
from strongroom.exposure.data import Canary, Corpus, Text

from .conftest import EVERY, plan
from .teacher import owner, public, texts

NEEDS = [
    ({"answers": "logits"}, "soft_labels", "soft_labels_not_granted"),
    ({"answers": "top-k"}, "soft_labels", "soft_labels_not_granted"),
    ({"answers": "labels"}, "teacher_tokenizer", "tokenizer_not_granted"),
    ({"answers": "labels", "init": "teacher-layers"}, "teacher_tensors", "tensors_not_granted"),
    ({"answers": "labels", "init": "teacher-embeddings"}, "teacher_tensors", "tensors_not_granted"),
]


@pytest.mark.parametrize(("asks", "grant", "code"), NEEDS, ids=str)
def test_what_is_not_granted_is_refused(
    asks: dict[str, Any], grant: str, code: str, tmp_path: Path
) -> None:
    path, granted = tmp_path / "plan.json", plan(**asks)
    lacking = msgspec.structs.replace(
        granted, grants=msgspec.structs.replace(EVERY, **{grant: False})
    )
    path.write_bytes(msgspec.json.encode(lacking))
    with pytest.raises(ExposureRefused, match=code):
        read_plan(path)
    path.write_bytes(msgspec.json.encode(granted))
    assert read_plan(path) == granted


def test_nothing_is_granted_unless_somebody_does() -> None:
    bare = LanguagePlan("0" * 64, "words", "0" * 64)
    assert bare.grants == LanguageGrants(False, False, False)
    assert (bare.answers, bare.tokenizer, bare.init) == ("text", "own", "fresh")
    assert bare.asked == Asked(0, 0, 0)
    bare.require_granted()


def test_the_two_kinds_of_plan_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for made in (plan("text"), Plan("0" * 64, "digits", "0" * 64, 10)):
        path.write_bytes(msgspec.json.encode(made))
        assert read_plan(path) == made
        assert read_plan(path).digest == made.digest
    path.write_bytes(path.read_bytes().replace(b"strongroom student", b"another student"))
    with pytest.raises(ExposureRefused, match="plan_malformed"):
        read_plan(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"answers": "labels", "tokenizer": "own"},
        {"answers": "text", "tokenizer": "own", "init": "teacher-layers"},
    ],
    ids=str,
)
def test_answers_about_the_teacher_s_tokens_need_them(changes: dict[str, Any]) -> None:
    with pytest.raises(ExposureRefused, match="plan_unfit"):
        plan(**changes).require_granted()


def test_a_declaration_is_what_the_meter_will_charge() -> None:
    for answers, coordinates, bits in (
        ("labels", 0, 1000 * math.log2(400)),
        ("top-k", 5000, 1000 * 5 * (math.log2(400) + 16)),
        ("logits", 400_000, 1000 * 400 * 16),
    ):
        made = plan(answers, 1000)
        assert made.asked == Asked(1000, coordinates, math.ceil(bits))
        assert made.charge(1000, 400) == made.asked
    text = plan("text", 1000)
    most = text.charge(1000, 2**18, endings=-(-1000 // text.continuation))
    assert text.asked == most
    assert text.charge(1000, 49_152, endings=41).bits < most.bits


def test_every_text_serves_once_and_a_division_is_repeated() -> None:
    for given in (public(), None):
        made = divide(owner(), given, 7)
        parts = (made.members, made.others, made.held, made.corpus)
        every = [text for part in parts for text in part]
        assert len(every) == len(set(every))
        assert set(made.members) == {each.text for each in owner().texts if each.member}
        assert made == divide(owner(), given, 7)
        assert made != divide(owner(), given, 8)
        assert made.overlap == 0
    with_corpus = divide(owner(), public(), 7)
    assert len(with_corpus.others) == sum(not each.member for each in owner().texts)
    assert set(with_corpus.corpus) <= {each.text for each in public().texts}


def test_members_and_planted_canaries_in_the_corpus_are_counted() -> None:
    member, canary = texts()[0], Canary("code of x: ", "123456", 3)
    never = Canary("code of y: ", "654321", 0)
    more = (f"before  {member}\nafter", "so code of x: 123456 it was", "code of y: 654321")
    corpus = Corpus((*public().texts, *(Text(each, False) for each in more * 9)), ())
    whole = Corpus(owner().texts, (canary, never))
    assert divide(whole, corpus, 0).overlap == 2


@pytest.mark.parametrize("bad", [Text("a member", True), Canary("code: ", "1", 1)], ids=str)
def test_a_corpus_holds_nothing_of_the_owner_s(bad: Text | Canary) -> None:
    rows, canaries = list(public().texts), []
    (canaries if isinstance(bad, Canary) else rows).append(bad)  # type: ignore[arg-type]
    with pytest.raises(ExposureRefused, match="corpus_unfit"):
        divide(owner(), Corpus(tuple(rows), tuple(canaries)), 0)


def test_too_few_texts_are_refused() -> None:
    few = Corpus(owner().texts[:10], ())
    with pytest.raises(ExposureRefused, match="records_too_few"):
        divide(few, public(), 0)
