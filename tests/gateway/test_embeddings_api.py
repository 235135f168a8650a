"""Embeddings through the door: to whom they are granted, in steps, charged in full, recorded."""

from __future__ import annotations

import base64
import json
import math
import struct
import time
from typing import Any

import openai
import pytest

from strongroom.boundary import charging
from strongroom.boundary.frames import Cancel, Embed
from strongroom.ledger.entries import RequestFinal, RequestIntent

from .conftest import MODEL, Door, OpenDoor
from .test_inference_protocol import call

PATH = "/v1/embeddings"


@pytest.fixture
def near(door: Door) -> str:
    return door.new_key("near")


def embedded(door: Door) -> list[Embed]:
    return [frame for frame in door.keeper.frames if isinstance(frame, Embed)]


def test_the_official_client(door: Door, near: str) -> None:
    texts = ["the quick brown fox", "hello <|im_end|> world"]
    answer = door.client(near).embeddings.create(model=MODEL, input=texts)
    (frame,) = embedded(door)
    assert frame.tenant == "near"
    assert door.tokenizer is not None
    plain = [door.tokenizer.encode(text).ids for text in texts]
    assert frame.texts[0] == tuple(plain[0])
    assert 2 not in frame.texts[1]  # the control token was split: control, the tokenizer would not
    assert 2 in plain[1]
    assert [item.index for item in answer.data] == [0, 1]
    lengths = [math.sqrt(sum(v * v for v in item.embedding)) for item in answer.data]
    assert lengths == pytest.approx([1.0, 1.0], abs=1e-6)
    first = len(frame.texts[0])
    wanted = [first, 127, -first, 0]
    scale = math.sqrt(sum(v * v for v in wanted))
    assert answer.data[0].embedding == pytest.approx([v / scale for v in wanted], abs=1e-6)
    assert answer.usage.prompt_tokens == sum(map(len, frame.texts))


def test_both_forms_say_the_same(door: Door, near: str) -> None:
    asked: dict[str, Any] = {"model": MODEL, "input": "hello"}
    _, plain = call(door, asked, PATH, near)
    _, packed = call(door, {**asked, "encoding_format": "base64"}, PATH, near)
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert struct.unpack("<4f", raw) == pytest.approx(plain["data"][0]["embedding"], abs=1e-7)
    assert set(plain) - {"padding"} == {"object", "data", "model", "usage"}


@pytest.mark.parametrize("organisation", ["acme", "trusted", "one", "shut"])
def test_no_other_rung_has_them(door: Door, organisation: str) -> None:
    key = door.new_key(organisation)
    status, body = call(door, {"model": MODEL, "input": "hello"}, PATH, key)
    assert (status, body["error"]["code"]) == (403, "gateway.embeddings_not_allowed")
    assert embedded(door) == []


def test_the_keepers_own_refusal_is_passed_on(door: Door, near: str) -> None:
    door.keeper.refuse = "keeper.embeddings_not_granted"
    status, body = call(door, {"model": MODEL, "input": "hello"}, PATH, near)
    assert (status, body["error"]["code"]) == (403, "keeper.embeddings_not_granted")


def test_a_key_without_the_scope_is_refused(door: Door) -> None:
    key = door.new_key("near", scopes=frozenset({"chat"}))
    status, _ = call(door, {"model": MODEL, "input": "hello"}, PATH, key)
    assert status == 403
    assert embedded(door) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"input": [1, 2, 3]}, "gateway.bad_request"),
        ({"input": [[1, 2, 3]]}, "gateway.bad_request"),
        ({"input": []}, "gateway.bad_request"),
        ({"input": ["a"] * 17}, "gateway.bad_request"),
        ({"input": ""}, "gateway.empty_prompt"),
        ({"input": ["a", ""]}, "gateway.empty_prompt"),
        ({"input": "a\u202eb"}, "gateway.forbidden_character"),
        ({"input": "a\x00b"}, "gateway.forbidden_character"),
        ({"input": "a", "dimensions": 2}, "gateway.parameter_not_allowed"),
        ({"input": "a", "return_hidden_states": True}, "gateway.parameter_not_allowed"),
        ({"input": "a", "pooling": "last"}, "gateway.bad_request"),
        ({"input": "a", "encoding_format": "int8"}, "gateway.bad_request"),
        ({"input": "fox " * 600}, "gateway.context_exceeded"),
        ({"input": ["fox " * 60] * 9}, "gateway.context_exceeded"),
        ({"input": "a", "model": "other"}, "gateway.no_model"),
    ],
)
def test_what_is_not_taken(door: Door, near: str, body: dict[str, Any], code: str) -> None:
    status, answer = call(door, {"model": MODEL, **body}, PATH, near)
    assert (400 <= status < 500, answer["error"]["code"]) == (True, code)
    assert embedded(door) == []


def test_what_it_cost_is_recorded_and_never_the_text(open_door: OpenDoor) -> None:
    door = open_door()
    key = door.new_key("near")
    assert call(door, {"model": MODEL, "input": ["hello", "world"]}, PATH, key)[0] == 200
    door.process.terminate()
    door.process.wait(20)
    entries = door.records()
    intent = next(entry for entry in entries if isinstance(entry, RequestIntent))
    final = next(entry for entry in entries if isinstance(entry, RequestFinal))
    bits = charging.millibits(charging.embedding_charge(2, 4))
    assert intent.route == "embeddings"
    assert intent.reserved["egress_millibits"] == bits
    assert final.settled["egress_millibits"] == bits
    assert final.settled["input_tokens"] == sum(map(len, embedded(door)[0].texts))
    assert len(final.output_digest) == 64
    assert "hello" not in json.dumps([str(entry) for entry in entries])


@pytest.mark.parametrize(
    "rows", [[b"abc"], [b"abcde"], [b"abcd", b"abcd"], [bytes(4)]], ids=["short", "long", "2", "0"]
)
def test_a_keeper_that_answers_something_else_is_left(
    open_door: OpenDoor, rows: list[bytes]
) -> None:
    door = open_door()
    key = door.new_key("near")
    door.keeper.rows = rows
    status, body = call(door, {"model": MODEL, "input": "hello"}, PATH, key)
    assert (status, body["error"]["code"]) == (503, "gateway.keeper_gone")


def test_who_hangs_up_cancels(open_door: OpenDoor) -> None:
    door = open_door()
    client = door.client(door.new_key("near")).with_options(timeout=0.3)
    door.keeper.mute = True
    with pytest.raises(openai.APITimeoutError):
        client.embeddings.create(model=MODEL, input="hello")
    deadline = time.monotonic() + 5
    while not any(isinstance(frame, Cancel) for frame in door.keeper.frames):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_classifier_has_none(classifier_door: Door) -> None:
    key = classifier_door.new_key("near")
    status, body = call(classifier_door, {"model": MODEL, "input": "hello"}, PATH, key)
    assert (status, body["error"]["code"]) == (404, "gateway.not_a_language_model")
