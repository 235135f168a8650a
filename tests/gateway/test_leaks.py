"""Nothing leaks through the door: 0 of 31 parameters, 0 of 7 fields; a permissive one leaks all."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from strongroom import framing
from strongroom.boundary import codec, frames
from strongroom.gateway.denied import DENIED
from strongroom.gateway.schema import ChatRequest, CompletionRequest

from .conftest import Door, OpenDoor
from .known_parameters import VLLM, openai_parameters
from .leaks import ASK, FIELDS, PARAMETERS, PermissiveDoor, ask, leaking_fields, leaking_parameters

ACCEPTED = {*ChatRequest.__struct_fields__, *CompletionRequest.__struct_fields__}


@pytest.fixture
def permissive() -> Iterator[PermissiveDoor]:
    door = PermissiveDoor()
    yield door
    door.close()


def test_the_counts() -> None:
    assert (len(PARAMETERS), len(FIELDS)) == (31, 7)
    assert set(PARAMETERS) <= set(DENIED)


def test_no_dangerous_parameter_passes(door: Door) -> None:
    assert leaking_parameters(door.url, door.key) == []
    assert not door.keeper.generated()


@pytest.mark.parametrize("stream", [False, True])
def test_no_leaking_field_is_in_an_answer(door: Door, stream: bool) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    status, answer = ask(door.url, door.key, {**ASK, **options})
    assert status == 200
    assert leaking_fields([answer]) == []


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_keeper_that_adds_a_field_is_hung_up_on(open_door: OpenDoor, name: str) -> None:
    door = open_door()
    mark = "LEAKED-BY-THE-KEEPER"
    plain = frames.Tokens(1, (5,))
    assert packed(msgspec.to_builtins(plain)) == codec.encode_to_gateway(plain)  # all but the field
    door.keeper.raw = packed({**msgspec.to_builtins(plain), name: [mark]})
    status, answer = ask(door.url, door.key, ASK)
    assert status == 503
    assert mark not in answer
    assert json.loads(answer)["error"]["code"] == "gateway.keeper_gone"


def packed(fields: dict[str, object]) -> bytes:
    return framing.encode(msgspec.msgpack.encode(fields), 2**20)


def test_positive_control(permissive: PermissiveDoor) -> None:
    assert leaking_parameters(permissive.url, "") == list(PARAMETERS)
    assert leaking_fields([ask(permissive.url, "", ASK)[1]]) == list(FIELDS)


def test_every_parameter_of_vllm_is_accepted_or_denied() -> None:
    assert len(VLLM) > 75
    assert not VLLM - ACCEPTED - set(DENIED)


def test_every_parameter_of_openai_is_accepted_or_denied() -> None:
    known = openai_parameters()
    assert len(known) > 35
    assert not known - ACCEPTED - set(DENIED)
