"""A student by TRL, as ``demo/students`` has it: its questions pass the door, within its plan."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import msgspec
import openai
import pytest
import torch

from demo.students import trl_texts
from strongroom.distil.language.folder import Told, files_of
from strongroom.distil.language.vocabulary import own
from strongroom.exposure.targets.in_process_language import LanguageModel
from tests.distil.language import gated

from .conftest import MODEL, Door

TEXTS = gated.texts()[:40]


def test_its_questions_are_answered_within_the_plan(door: Door) -> None:
    plan = msgspec.structs.replace(gated.plan(), continuation=4).declaring(10)
    vocabulary = own(TEXTS, plan.vocabulary)
    division = replace(gated.texts_divided(), corpus=TEXTS)
    begun = trl_texts.beginnings(plan, division, vocabulary)
    assert len(begun) == len(TEXTS)
    assert all(text.startswith(begin) for text, begin in zip(TEXTS, begun, strict=True))
    said, positions = trl_texts.answers(door.client(), MODEL, plan, begun)
    assert said
    assert positions <= plan.asked.positions
    assert all(text.startswith(begin) for text, begin in zip(said, begun, strict=False))
    spent = plan.declaring(positions).asked
    assert spent.bits <= plan.asked.bits


def test_a_door_that_refuses_ends_the_asking(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = msgspec.structs.replace(gated.plan(), continuation=4).declaring(1000)
    client = openai.OpenAI(base_url=door.client().base_url, api_key="sr_no_key", max_retries=0)
    assert trl_texts.answers(client, MODEL, plan, list(TEXTS)) == ([], 0)
    assert "refused after 0 answers" in capsys.readouterr().err


@pytest.mark.skipif(not importlib.util.find_spec("trl"), reason="TRL is not installed")
def test_trl_trains_the_plan_s_network() -> None:
    plan = gated.plan()
    vocabulary = own(TEXTS, plan.vocabulary)
    short = msgspec.structs.replace(plan, schedule=msgspec.structs.replace(plan.schedule, steps=20))
    module = trl_texts.trained(short, vocabulary, list(TEXTS))
    student = LanguageModel(module, vocabulary.tokenizer, (vocabulary.end,), 128)
    files_of(student, Told(plan.digest, plan.asked))
    ids = torch.tensor([vocabulary.tokenizer.encode(TEXTS[0]).ids])
    with torch.no_grad():
        loss = module(input_ids=ids, labels=ids).loss
    assert float(loss) < 6.0  # log of 1,200 tokens is 7.1
