"""The Open Inference Protocol for a classifier."""

from __future__ import annotations

import http.client
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.boundary.frames import Classify

from .conftest import MODEL, Door

INFER = f"/v2/models/{MODEL}/infer"


def call(door: Door, body: Any, path: str = INFER, key: str | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    headers = {"Authorization": f"Bearer {key or door.key}", "Content-Type": "application/json"}
    method = "GET" if body is None else "POST"
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def tensor(**changes: Any) -> dict[str, Any]:
    base = {"name": "input", "shape": [1, 2, 3], "datatype": "FP32", "data": [0, 1, 2.5, 3, 4, 16]}
    return {"inputs": [{**base, **changes}]}


def test_a_label(classifier_door: Door) -> None:
    status, body = call(classifier_door, {"id": "a1", **tensor(shape=[2, 2, 3], data=[1.0] * 12)})
    assert status == 200
    assert body == {
        "model_name": MODEL,
        "model_version": "3",
        "id": "a1",
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [2], "data": ["zero", "one"]}],
    }
    frame = classifier_door.keeper.frames[-1]
    assert isinstance(frame, Classify)
    assert frame.data == struct.pack("<12f", *[1.0] * 12)
    assert (frame.dtype, frame.shape, frame.scores) == ("F32", (2, 2, 3), False)


def test_scores_only_where_the_rung_grants_them(classifier_door: Door) -> None:
    asked = {**tensor(), "outputs": [{"name": "label"}, {"name": "scores"}]}
    before = len(classifier_door.keeper.frames)
    status, body = call(classifier_door, asked)
    assert (status, body["code"], body["rung"]) == (403, "gateway.output_not_allowed", "top1")
    assert len(classifier_door.keeper.frames) == before
    status, body = call(classifier_door, asked, key=classifier_door.new_key("trusted"))
    assert status == 200
    assert body["outputs"][1] == {
        "name": "scores", "datatype": "FP32", "shape": [1, 1], "data": [0.75],
    }  # fmt: skip


numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.integers(0, 16))
tensors = st.fixed_dictionaries(
    {
        "name": st.just("input"),
        "shape": st.one_of(st.just([1, 2, 3]), st.lists(numbers, max_size=6)),
        "datatype": st.sampled_from(["FP32", "UINT8", "FP64"]),
        "data": st.lists(numbers, min_size=6, max_size=6),
    }
)
structures = st.one_of(
    st.dictionaries(st.sampled_from(["inputs", "id", "outputs"]), st.lists(tensors, max_size=2)),
    st.fixed_dictionaries({"inputs": st.lists(tensors, min_size=1, max_size=1)}),
)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": tensor()["inputs"] * 2},
        {**tensor(), "parameters": {}},
        {**tensor(), "outputs": [{"name": "logits"}]},
        tensor(parameters={"binary_data_size": 9}),
        tensor(datatype="FP64"),
        tensor(datatype="UINT8"),
        tensor(shape=[1, 3, 2]),
        tensor(shape=[1, 6]),
        tensor(shape=[0, 2, 3], data=[]),
        tensor(shape=[-1, 2, 3]),
        tensor(shape=[9, 2, 3], data=[0] * 54),
        tensor(shape=[2**20, 2**20, 2**20]),
        tensor(data=[0] * 5),
        tensor(data=[0] * 7),
        tensor(data=[0, 0, 0, 0, 0, 16.5]),
        tensor(data=[0, 0, 0, 0, 0, -1]),
        tensor(data=[0, 0, 0, 0, 0, 1e308]),
        tensor(data=[0, 0, 0, 0, 0, 10**40]),
        tensor(data=[0, 0, 0, 0, 0, True]),
        tensor(data=[[0, 0, 0], [0, 0, 0]]),
        tensor(data=["0"] * 6),
        tensor(data=[None] * 6),
    ],
)
def test_other_tensors_are_refused(classifier_door: Door, body: dict[str, Any]) -> None:
    before = len(classifier_door.keeper.frames)
    status, answer = call(classifier_door, body)
    assert status == 400
    assert answer["code"] in {"gateway.bad_request", "gateway.bad_tensor"}
    assert answer["error"]
    assert len(classifier_door.keeper.frames) == before


@given(body=structures)
@settings(max_examples=150, deadline=None)
def test_fuzz(classifier_door: Door, body: Any) -> None:
    status, _ = call(classifier_door, body)
    assert status < 500


def test_metadata(classifier_door: Door) -> None:
    status, body = call(classifier_door, None, f"/v2/models/{MODEL}")
    assert status == 200
    assert body["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 2, 3]}]
    assert call(classifier_door, None, f"/v2/models/{MODEL}/ready")[1]["ready"] is True
    assert call(classifier_door, None, "/v2")[1]["name"] == "strongroom"


def test_each_kind_of_model_has_its_routes(classifier_door: Door, door: Door) -> None:
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}
    status, body = call(classifier_door, chat, "/v1/chat/completions")
    assert (status, body["error"]["code"]) == (404, "gateway.not_a_language_model")
    status, body = call(door, tensor())
    assert (status, body["code"]) == (404, "gateway.not_a_classifier")


def test_more_numbers_than_the_model_takes_are_not_decoded(classifier_door: Door) -> None:
    status, body = call(classifier_door, tensor(data=[0] * 300_000))
    assert (status, body["code"]) == (400, "gateway.bad_tensor")
    assert "more than 48 numbers" in body["detail"]
    full = tensor(shape=[8, 2, 3], data=[1] * 48)
    assert call(classifier_door, full)[0] == 200
