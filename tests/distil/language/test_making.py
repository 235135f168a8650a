"""What a student learns from its teacher, how often it may ask, and what it holds."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from strongroom.distil.language.division import TextDivision
from strongroom.distil.language.folder import FILES, TOLD, Told, files_of, open_student
from strongroom.distil.language.plan import Asked, Schedule
from strongroom.distil.language.utility import agreement, bits_a_byte, perplexity, read
from strongroom.distil.language.vocabulary import own, reduced
from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import Budget
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import open_language

from .conftest import shop
from .teacher import teacher


def test_a_student_agrees_more_with_its_teacher_than_one_of_texts_alone(
    texts: TextDivision,
) -> None:
    theirs = read(teacher(), texts.held)
    assert agreement(theirs, theirs) == 1.0
    alone = read(shop(texts, "labels").untaught(), texts.held)
    for answers in ("labels", "logits"):
        made = shop(texts, answers)
        told = read(made.student(made.target()), texts.held)
        assert agreement(told, theirs) > agreement(alone, theirs) + 0.3


def test_surprise_is_the_same_by_token_and_by_byte(texts: TextDivision) -> None:
    said = read(teacher(), texts.members)
    rows = [teacher().ids(text) for text in texts.members]
    nats = -sum(float(each.sum()) for each in teacher().logprobs(rows))
    tokens = sum(len(row) - 1 for row in rows)
    assert perplexity(said) == pytest.approx(math.exp(nats / tokens), rel=1e-3)
    size = sum(each.size for each in said)
    assert bits_a_byte(said) == pytest.approx(nats / size / math.log(2), rel=1e-3)
    assert bits_a_byte(said) < bits_a_byte(read(teacher(), texts.held)) / 2
    with pytest.raises(ValueError, match="two tokens"):
        bits_a_byte(read(teacher(), ["."]))


def test_a_student_of_text_has_tokens_of_its_own(texts: TextDivision) -> None:
    made = shop(texts, "text", 3000)
    target = made.target()
    lessons = made.lessons(target)
    alone = made.vocabulary.rows(texts.corpus, 33)
    assert len(lessons.rows) > len(alone)
    assert lessons.told is None
    spent = target.spent()
    assert 0 < spent.positions <= 3000
    assert spent.coordinates == 0
    assert made.vocabulary.kept is None


@pytest.mark.parametrize("answers", ["text", "labels", "top-k", "logits"])
@pytest.mark.parametrize("name", ["positions", "coordinates", "bits"])
def test_the_teacher_tells_no_more_than_was_declared(
    texts: TextDivision, answers: str, name: str
) -> None:
    made = shop(texts, answers, 200)
    tight = msgspec.structs.replace(made.plan.asked, **{name: getattr(made.plan.asked, name) // 2})
    made = type(made)(msgspec.structs.replace(made.plan, asked=tight), made.teacher, texts)
    target = made.target()
    for other in ("model", "module", "continued" if answers != "text" else "told"):
        with pytest.raises(AttributeError):
            getattr(target, other)
    made.lessons(target)  # asks what the declaration has room for
    spent = target.spent()
    for each in ("positions", "coordinates", "bits"):
        assert getattr(spent, each) <= getattr(tight, each)
    if name == "coordinates" and answers in ("text", "labels"):
        return  # there are none
    rows = made.vocabulary.rows(texts.corpus, 33)[:8]
    more = (
        partial(target.continued, texts.corpus) if answers == "text" else partial(target.told, rows)
    )
    with pytest.raises(ExposureRefused, match="asked_out"):
        more()
    assert target.spent().positions <= tight.positions


def test_what_is_told_is_what_the_teacher_thinks(texts: TextDivision) -> None:
    labels, top, logits = (shop(texts, each) for each in ("labels", "top-k", "logits"))
    rows = labels.vocabulary.rows(texts.corpus, 33)[:3]
    kept = torch.from_numpy(np.asarray(labels.vocabulary.kept))
    module = teacher().module
    with torch.no_grad():
        whole = module(input_ids=kept[torch.from_numpy(rows[:, :-1])]).logits[..., kept]
    told = logits.target().told(rows)
    assert torch.allclose(told.scores.float(), whole.log_softmax(-1), atol=2e-2)
    assert torch.equal(labels.target().told(rows).tokens[..., 0].long(), whole.argmax(-1))
    five = top.target().told(rows)
    assert torch.equal(five.tokens.long(), whole.topk(5).indices)
    assert five.scores.shape == (3, 32, 5)


def test_a_reduced_tokenizer_cuts_the_corpus_as_the_teacher_s_does(texts: TextDivision) -> None:
    theirs = teacher().tokenizer
    whole = reduced(theirs, teacher().eos, texts.corpus, 10_000)
    small = reduced(theirs, teacher().eos, texts.corpus, 320)
    assert small.size <= 320 < whole.size
    for text in texts.corpus[:40]:
        ids = [int(whole.kept[n]) for n in whole.tokenizer.encode(text).ids]  # type: ignore[index]
        assert ids == theirs.encode(text).ids
        for each in (whole, small):
            assert each.tokenizer.decode(each.tokenizer.encode(text).ids) == text
    assert theirs.id_to_token(int(small.kept[small.end])) == "<|end|>"  # type: ignore[index]
    assert own(texts.corpus, 300).size <= 300
    numbers = own(("code 123456 " * 50,), 300).tokenizer.encode("123456").ids
    assert len(numbers) == 6  # digit by digit, as canaries are ranked


def test_what_a_student_begins_with(texts: TextDivision) -> None:
    kept = shop(texts, "labels").vocabulary.kept
    theirs = teacher().module.model
    embeddings = theirs.embed_tokens.weight[torch.from_numpy(np.asarray(kept))]
    for init, same, layers in (
        ("fresh", False, False),
        ("teacher-embeddings", True, False),
        ("teacher-layers", True, True),
    ):
        made = shop(texts, "labels", init=init)
        begun = made.begun().model
        found = begun.embed_tokens.weight
        assert (found.shape == embeddings.shape and torch.equal(found, embeddings)) is same
        one, other = (each.layers[0].mlp.up_proj.weight for each in (begun, theirs))
        assert (one.shape == other.shape and torch.equal(one, other)) is layers


def test_a_folder_is_opened_as_it_was_written(texts: TextDivision, tmp_path: Path) -> None:
    made = shop(texts, "labels", schedule=Schedule(steps=2, length=32))
    student, told = made.untaught(), Told(made.plan.digest, Asked(1, 0, 9))
    for name, content in files_of(student, told).items():
        (tmp_path / name).write_bytes(content)
    assert {each.name for each in tmp_path.iterdir()} == {*FILES, TOLD}
    opened, said = open_student(tmp_path)
    assert said == told
    row = opened.ids(texts.held[0])
    assert row == student.ids(texts.held[0])
    assert torch.allclose(opened.logprobs([row])[0], student.logprobs([row])[0], atol=1e-5)
    target = open_language(opened, Rung.LOGITS, Budget(10, 60.0))
    assert target.next_logits([row]).shape == (1, opened.vocabulary)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "llama"
    for name, content in ((TOLD, b"{}"), ("tokenizer.json", b"{"), ("config.json", b"{}")):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExposureRefused, match="student_malformed"):
            open_student(tmp_path)
        (tmp_path / name).write_bytes(whole)
    open_student(tmp_path)
