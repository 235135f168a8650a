"""The corpus of hostile bodies: each refused with a 4xx, none forwarded. ``benchmarks/bodies.py``
times them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.gateway.refusals import Refusal
from strongroom.gateway.strict_json import MOST_STRINGS, check_unique, parse_object

from .conftest import Door
from .hostile_bodies import FOLDER, SIZE, VALID, bodies, made
from .test_hostile_http import post

CORPUS = bodies()


def test_the_corpus_is_what_its_script_makes() -> None:
    assert dict(made()) == CORPUS, f"run: python {FOLDER.parent / 'hostile_bodies.py'}"
    assert len(CORPUS) >= 50
    assert all(0.8 * SIZE < len(body) <= SIZE for body in CORPUS.values())


def test_positive_control(door: Door) -> None:
    assert post(door, VALID)[0] == 200


@pytest.mark.parametrize("name", sorted(CORPUS))
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v2/models/smol/infer"]
)
def test_each_is_refused(door: Door, name: str, path: str) -> None:
    before = len(door.keeper.frames)
    status, answer = post(door, CORPUS[name], path)
    assert 400 <= status < 500, answer
    assert json.dumps(answer).count("gateway.") >= 1
    assert len(json.dumps(answer)) < 2000  # nothing long is thrown back
    assert len(door.keeper.frames) == before


def code(body: bytes) -> str | None:
    try:
        parse_object(body)
        check_unique(body)
    except Refusal as refusal:
        return refusal.code
    return None


def reference(body: bytes) -> bool:
    """Whether an object in ``body`` has a key twice, by a reader that keeps all pairs."""
    twice = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice |= len(dict(found)) != len(found)
        return dict(found)

    json.loads(body, object_pairs_hook=pairs)
    return twice


hard = st.text(st.sampled_from('"\\:{}[],a\n/u\u00e9'), max_size=6)


def escaped(text: str, how: int) -> str:
    """A JSON string, its characters written in one of the ways that JSON has."""
    if how == 0:
        return json.dumps(text)
    if how == 1:
        return json.dumps(text, ensure_ascii=False)
    return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'


strings = st.builds(escaped, hard, st.integers(0, 2))
spaces = st.sampled_from(["", " ", "\n"])


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects in which keys often stand twice."""
    member = st.tuples(st.one_of(strings, st.sampled_from(['"a"', '"\\u0061"'])), spaces, inner)
    return st.lists(member, max_size=5).map(
        lambda found: "{" + ",".join(f"{key}{space}:{value}" for key, space, value in found) + "}"
    )


documents = st.recursive(
    st.one_of(strings, st.sampled_from(["1", "-0.5e3", "true", "null", "[]", "{}"])),
    lambda inner: st.one_of(
        objects(inner), st.lists(inner, max_size=4).map(lambda found: f"[{','.join(found)}]")
    ),
    max_leaves=12,
)


@given(text=objects(documents))
def test_a_key_that_stands_twice_is_seen_and_nothing_else(text: str) -> None:
    body = text.encode()
    assert code(body) == ("gateway.duplicate_key" if reference(body) else None)


@given(texts=st.lists(hard, max_size=30))
def test_the_bound_on_strings_never_refuses_what_is_within_it(texts: list[str]) -> None:
    repeated = (texts * MOST_STRINGS)[: MOST_STRINGS - 1]
    assert code(json.dumps({"a": repeated}).encode()) is None


def test_the_bound_on_strings_is_at_most_twice_what_it_says() -> None:
    for text in ("a", "\\", '"', '\\"', '\\\\"\\'):
        body = json.dumps({"a": [text] * (2 * MOST_STRINGS)}).encode()
        assert code(body) == "gateway.too_many_strings"
