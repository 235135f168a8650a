"""Hostile requests: refused with the right status and code, never a 5xx, nothing forwarded."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.gateway.denied import DENIED, harmless

from .conftest import MODEL, Door, OpenDoor

CHAT = "/v1/chat/completions"
VALID: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


def post(
    door: Door, body: bytes, path: str = CHAT, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {door.key}"}
    connection.request("POST", path, body, {**sent, **(headers or {})})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content) if content else {}


def refused(door: Door, body: bytes | dict[str, Any], path: str = CHAT) -> dict[str, Any]:
    """The error of a body that must be refused with 400; nothing may reach the keeper."""
    before = len(door.keeper.frames)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer = post(door, raw, path)
    assert status == 400, answer
    assert len(door.keeper.frames) == before
    error: dict[str, Any] = answer["error"]
    assert error["type"] == "invalid_request_error"
    return error


def test_positive_control(door: Door) -> None:
    assert post(door, json.dumps(VALID).encode())[0] == 200
    assert len(door.keeper.generated()) == 1


@pytest.mark.parametrize("name", sorted(DENIED))
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_every_denied_parameter_is_refused_by_name(door: Door, name: str, path: str) -> None:
    body = VALID if path == CHAT else {"model": MODEL, "prompt": "hello"}
    for value in (True, 3, "x", ["x"], {"x": 1}):
        if harmless(name, value):
            continue
        error = refused(door, {**body, name: value}, path)
        assert error["code"] == "gateway.parameter_not_allowed"
        assert error["param"] == name
        assert f"`{name}`" in error["message"]
        assert error["rung"] == DENIED[name].grant


@pytest.mark.parametrize("name", sorted(DENIED))
def test_harmless_values_pass_and_are_not_forwarded(door: Door, name: str) -> None:
    for value in DENIED[name].harmless:
        status, answer = post(door, json.dumps({**VALID, name: value}).encode())
        assert status == 200, answer
    frames = [(f.tokens, f.max_tokens, f.sampling, f.top_logprobs) for f in door.keeper.generated()]
    assert len(set(frames)) == 1


BAD_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"temperature": 1e308}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": True}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": 10**30}, "max_tokens"),
    ({"max_tokens": 2**63}, "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
    ({"n": 2}, "n"),
    ({"n": True}, "n"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"stop": "x" * 257}, "stop"),
    ({"stop": [1]}, "stop[0]"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"other": 1}}, "stream_options.other"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "user"}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages[0].name"),
    ({"messages": [{"role": "user", "content": "x"}] * 1025}, "messages"),
    ({"unheard_of": 1}, "unheard_of"),
    ({"Logprobs": True}, "Logprobs"),
    ({"logprobs ": True}, "logprobs "),
    ({"metadata": {"a": 1}}, "metadata[...]"),
    ({"user": "x" * 513}, "user"),
    ({"model": 3}, "model"),
]


@pytest.mark.parametrize(("change", "param"), BAD_VALUES)
def test_the_schema_is_closed(door: Door, change: dict[str, Any], param: str) -> None:
    assert refused(door, {**VALID, **change})["param"] == param


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "refusal", "video_url"])
def test_media_are_refused_by_name(door: Door, kind: str) -> None:
    part = {"type": kind, kind: {"url": "http://169.254.169.254/"}}
    error = refused(door, {**VALID, "messages": [{"role": "user", "content": [part]}]})
    assert error["code"] == "gateway.media_not_accepted"


def test_text_parts_are_joined(door: Door) -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    body = {**VALID, "messages": [{"role": "developer", "content": "s"}, *VALID["messages"]]}
    joined = {**body, "messages": [body["messages"][0], {"role": "user", "content": parts}]}
    for variant in (body, joined):
        assert post(door, json.dumps(variant).encode())[0] == 200
    first, second = door.keeper.generated()
    assert first.tokens == second.tokens


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x08", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\u200f", "\U000e0041", "\uffff"],
)
def test_forbidden_characters(door: Door, character: str) -> None:
    body = {**VALID, "messages": [{"role": "user", "content": f"a{character}b"}]}
    error = refused(door, body)
    assert error["code"] == "gateway.forbidden_character"
    assert error["param"] == "messages[0].content"
    refused(door, {**VALID, "stop": character})
    refused(door, {"model": MODEL, "prompt": character}, "/v1/completions")


def text(core: bytes) -> bytes:
    return b'{"model":"smol","messages":[{"role":"user","content":' + core + b"}]}"


REST = json.dumps(VALID).encode()[1:]
BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "gateway.bad_json"),
    "binary": (bytes(range(256)), "gateway.bad_json"),
    "invalid utf-8": (text(b'"\xff\xfe"'), "gateway.bad_json"),
    "overlong utf-8": (text(b'"\xc0\xaf"'), "gateway.bad_json"),
    "utf-16": (json.dumps(VALID).encode("utf-16"), "gateway.bad_json"),
    "bom": (b"\xef\xbb\xbf" + json.dumps(VALID).encode(), "gateway.bad_json"),
    "encoded surrogate": (text(b'"\xed\xa0\x80"'), "gateway.bad_json"),
    "lone surrogate": (text(b'"a\\ud800b"'), "gateway.bad_json"),
    "low surrogate": (text(b'"a\\udc00b"'), "gateway.bad_json"),
    "nan": (b'{"temperature":NaN}', "gateway.bad_json"),
    "infinity": (b'{"temperature":Infinity}', "gateway.bad_json"),
    "overflow": (b'{"temperature":1e999}', "gateway.bad_request"),
    "huge integer": (b'{"max_tokens":' + b"9" * 100_000 + b"}", "gateway.bad_request"),
    "trailing": (json.dumps(VALID).encode() + b"x", "gateway.bad_json"),
    "two objects": (json.dumps(VALID).encode() * 2, "gateway.bad_json"),
    "truncated": (json.dumps(VALID).encode()[:-1], "gateway.bad_json"),
    "comment": (b"{/*x*/}", "gateway.bad_json"),
    "deep arrays": (b"[" * 500_000, "gateway.not_an_object"),
    "harmless, then not": (b'{"logprobs":true,"logprobs":false,' + REST, "gateway.duplicate_key"),
    "not in full": (b'{"tools":[}', "gateway.bad_json"),
    "deep objects": (b'{"a":' * 8_000 + b"1" + b"}" * 8_000, "gateway.bad_json"),
    "quite deep": (b'{"a":' * 40 + b"1" + b"}" * 40, "gateway.bad_request"),
    "array": (b"[]", "gateway.not_an_object"),
    "null": (b"null", "gateway.not_an_object"),
    "string": (b'"x"', "gateway.not_an_object"),
    "same key twice": (b'{"model":"smol",' + REST, "gateway.duplicate_key"),
    "nested twice": (text(b'"a","role":"user"'), "gateway.duplicate_key"),
    "escaped twice": (b'{"mod\\u0065l":"x",' + REST, "gateway.duplicate_key"),
    "hidden twice": (b'{"metadata":{"a:\\"":":","a:\\"":"\\\\"},' + REST, "gateway.duplicate_key"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD_BODIES))
def test_bodies_that_two_readers_could_take_differently(door: Door, name: str) -> None:
    body, code = BAD_BODIES[name]
    assert refused(door, body)["code"] == code


def test_colons_and_quotes_in_text_are_not_keys(door: Door) -> None:
    body = {**VALID, "messages": [{"role": "user", "content": '":\\":{"a":"b\\\\":'}]}
    assert post(door, json.dumps(body).encode())[0] == 200


@given(body=st.binary(max_size=300))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzz_bytes(door: Door, body: bytes) -> None:
    assert post(door, body)[0] == 400


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)  # fmt: skip
fields = st.dictionaries(
    st.sampled_from(["model", "messages", "stop", "stream", "max_tokens", "temperature", "user",
                     "prompt", "metadata", "stream_options", "inputs", "id", *sorted(DENIED)]),
    values, max_size=5,
)  # fmt: skip
PATHS = [CHAT, "/v1/completions", f"/v2/models/{MODEL}/infer"]


def test_pipelined_requests_are_all_answered(door: Door) -> None:
    big = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\n" + b"x" * 90_000
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = raw(door, big + big + last)
    assert answer.count(b"HTTP/1.1 404") == 2
    assert answer.count(b"HTTP/1.1 200") == 1


@given(change=fields, path=st.sampled_from(PATHS), whole=st.booleans())
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzz_structures(door: Door, change: dict[str, Any], path: str, whole: bool) -> None:
    body = json.dumps({**VALID, **change} if whole else change).encode()
    status, _ = post(door, body, path)
    assert status < 500


def test_oversized_bodies(door: Door) -> None:
    status, answer = post(door, b" " * (2**20 + 1))
    assert (status, answer["error"]["code"]) == (413, "gateway.body_too_large")
    status, answer = post(door, iter([b" " * 2**19] * 3))  # type: ignore[arg-type]
    assert status == 413
    assert post(door, b" " * 2**20)[0] == 400


def test_a_text_far_beyond_the_context_costs_little(door: Door) -> None:
    body = {**VALID, "messages": [{"role": "user", "content": "a" * 1_000_000}]}
    started = time.monotonic()
    assert refused(door, body)["code"] == "gateway.context_exceeded"
    assert time.monotonic() - started < 1
    body = {**VALID, "messages": [{"role": "user", "content": "a b " * 300}]}
    assert refused(door, body)["code"] == "gateway.context_exceeded"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("PUT", CHAT, 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/models/smol", 405),
        ("POST", "/v1/responses", 404),
        ("POST", "/tokenize", 404),
        ("GET", "/metrics", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions/", 404),
        ("GET", "/v1/../v1/models", 404),
        ("GET", "/docs", 404),
        ("GET", f"/v2/models/{MODEL}/infer", 405),
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/repository/index", 404),
    ],
)
def test_routes_are_an_allow_list(door: Door, method: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.request(method, path, headers={"Authorization": f"Bearer {door.key}"})
    response = connection.getresponse()
    body = json.loads(response.read())
    assert response.status == status
    if path.startswith("/v1/"):
        assert body["error"]["code"].startswith("gateway.")
    else:
        assert response.headers["content-type"] == "application/problem+json"
        assert (body["status"], body["type"]) == (status, "about:blank")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Encoding": "gzip"},
    ],
)
def test_other_content_types(door: Door, headers: dict[str, str]) -> None:
    assert post(door, json.dumps(VALID).encode(), headers=headers)[0] == 415


def raw(door: Door, *parts: bytes, pause: float = 0.0) -> bytes:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as sock:
        for part in parts:
            sock.sendall(part)
            time.sleep(pause)
        received = b""
        try:
            while data := sock.recv(65536):
                received += data
        except ConnectionResetError:
            pass
        return received


def test_large_heads_are_cut(door: Door) -> None:
    one = b"GET /healthz HTTP/1.1\r\nhost: x\r\na: " + b"b" * 40_000
    assert raw(door, one + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert raw(door, one, b"b" * 40_000, pause=0.1).startswith(b"HTTP/1.1 431")
    many = b"".join(b"a%d: b\r\n" % i for i in range(4000))
    assert raw(door, b"GET /healthz HTTP/1.1\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431")
    path = b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"
    assert raw(door, path).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
    ],
)
def test_junk_on_the_wire(door: Door, head: bytes) -> None:
    assert raw(door, head, pause=0.01).startswith(b"HTTP/1.1 400")


def test_slow_heads_and_bodies_are_cut(open_door: OpenDoor) -> None:
    door = open_door(head_seconds=0.3, body_seconds=0.3)
    started = time.monotonic()
    assert raw(door, b"GET /healthz HT").startswith(b"HTTP/1.1 408")
    assert raw(door).startswith(b"HTTP/1.1 408")
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    answer = raw(door, head + b"content-length: 100\r\n\r\n{", pause=0.01)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"gateway.body_too_slow" in answer
    assert time.monotonic() - started < 5
    kept = raw(door, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /h", pause=0.1)
    assert kept.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in kept
