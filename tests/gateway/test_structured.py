"""`response_format`: a registered schema by its name, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from strongroom.schemas.canonical import digest

from .conftest import MODEL, Door, OpenDoor

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "old": {"type": "boolean"}},
    "required": ["name", "old"],
    "additionalProperties": False,
}
ANSWER = '{"name": "hello", "old": true}'
ASK: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
def schema_door(open_door: OpenDoor) -> Door:
    door = open_door(schemas={"person": digest(SCHEMA)})
    door.keeper.answer = ANSWER
    return door


def named(name: str = "person", **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, **more}}


def test_a_registered_schema_is_forwarded_by_its_name(schema_door: Door) -> None:
    turned = dict(reversed(SCHEMA.items()))  # the same one in another order
    formats = [named(), named(schema=SCHEMA, strict=True), named(schema=turned, description="x")]
    for response_format in formats:
        answer = schema_door.client().chat.completions.create(
            model=MODEL, messages=ASK, response_format=response_format
        )
        assert answer.choices[0].message.content == ANSWER
    assert [frame.schema for frame in schema_door.keeper.generated()] == ["person"] * 3
    plain = schema_door.client().chat.completions.create(
        model=MODEL, messages=ASK, response_format={"type": "text"}
    )
    assert plain.choices
    assert schema_door.keeper.generated()[-1].schema == ""


def test_it_streams(schema_door: Door) -> None:
    chunks = schema_door.client().chat.completions.create(
        model=MODEL, messages=ASK, response_format=named(), stream=True
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert json.loads(text) == {"name": "hello", "old": True}
    assert schema_door.keeper.generated()[-1].schema == "person"


@pytest.mark.parametrize(
    ("response_format", "code"),
    [
        (named(schema={"type": "object"}), "gateway.schema_differs"),
        (named(schema={**SCHEMA, "title": "mine"}), "gateway.schema_differs"),
        (named("other"), "gateway.parameter_not_allowed"),
        (named("other", schema=SCHEMA), "gateway.parameter_not_allowed"),
        (named(schema=SCHEMA) | {"grammar": "x"}, "gateway.parameter_not_allowed"),
        (named(regex="a*"), "gateway.parameter_not_allowed"),
        ({"type": "json_object"}, "gateway.parameter_not_allowed"),
        ({"type": "json_schema"}, "gateway.parameter_not_allowed"),
        ({"type": "regex", "pattern": "a*"}, "gateway.parameter_not_allowed"),
        (named(schema={"x": ["y" * 50] * 4000}), "gateway.parameter_not_allowed"),
    ],
)
def test_everything_else_is_refused_by_name(
    schema_door: Door, response_format: Any, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        schema_door.client().chat.completions.create(
            model=MODEL, messages=ASK, response_format=response_format
        )
    assert (caught.value.code, caught.value.param) == (code, "response_format")
    assert schema_door.keeper.generated() == []


def test_scores_and_stops_do_not_go_with_it(schema_door: Door) -> None:
    client = schema_door.client(schema_door.new_key("trusted"))
    for more in ({"logprobs": True}, {"stop": ["}"]}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(
                model=MODEL,
                messages=ASK,
                response_format=named(),
                **more,  # type: ignore[call-overload]
            )
        assert caught.value.code == "gateway.bad_request"
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model=MODEL, prompt="a", extra_body={"response_format": named()})
    assert schema_door.keeper.generated() == []


def test_what_ran_out_of_time_or_room_says_length(schema_door: Door) -> None:
    for end in ("time", "length"):
        schema_door.keeper.end = end
        answer = schema_door.client().chat.completions.create(
            model=MODEL, messages=ASK, response_format=named()
        )
        assert answer.choices[0].finish_reason == "length"
    schema_door.keeper.refuse = "keeper.time_over"
    with pytest.raises(openai.InternalServerError) as caught:
        schema_door.client().chat.completions.create(model=MODEL, messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (503, "keeper.time_over")


def test_the_document_names_them(schema_door: Door) -> None:
    found = schema_door.client()._client.get(f"{schema_door.url}/openapi.json").json()
    field = found["components"]["schemas"]["ChatRequest"]["properties"]["response_format"]
    assert field["properties"]["json_schema"]["properties"]["name"] == {"enum": ["person"]}
