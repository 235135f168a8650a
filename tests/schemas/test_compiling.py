"""Texts of a compiled schema fit it, by another implementation; texts that do not are not among
them; and no schema takes long to refuse."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.boundary import automaton as automata
from strongroom.boundary.automaton import DEAD, END, MAX_STATES
from strongroom.errors import BoundaryRefused, ConfigurationRefused
from strongroom.schemas.canonical import digest
from strongroom.schemas.compiling import compile_schema

from .shapes import SCHEMAS, accepts, closed, fits, step, walk

SECONDS = 10
"""Two processors are shared by many; alone, the slowest takes under 3."""


def compiled(schema: Any) -> automata.Automaton:
    return compile_schema(json.dumps(schema).encode()).automaton


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS, st.integers())
def test_every_text_fits_its_schema(schema: dict[str, Any], seed: int) -> None:
    automaton = automata.decode(automata.encode(compiled(schema)))
    chance = random.Random(seed)
    for _ in range(5):
        text = walk(automaton, chance)
        assert fits(schema, text), text
        assert accepts(automaton, text)  # positive control of the next test's reader


def test_values_that_fit_are_among_the_texts_and_others_are_not() -> None:
    schema = closed(
        {
            "name": {"type": "string", "minLength": 1, "maxLength": 3},
            "n": {"type": "integer", "minimum": -13, "maximum": 205},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "note": {"enum": ["ü\n", None, 7]},
        },
        ["name", "n"],
    )
    automaton = compiled(schema)

    def among(value: dict[str, Any]) -> bool:
        return accepts(automaton, json.dumps(value, ensure_ascii=False))

    for n in range(-300, 300):
        assert among({"name": "ab", "n": n}) == (-13 <= n <= 205), n
    assert among({"name": "😀é\n", "n": 0, "share": 0.25, "note": "ü\n"})
    assert among({"name": '"', "n": 0, "note": None})
    for wrong in (
        {"name": "", "n": 0},
        {"name": "abcd", "n": 0},
        {"name": "a"},
        {"n": 0, "name": "a"},
        {"name": "a", "n": 0, "share": 1.5},
        {"name": "a", "n": 0, "share": -0.5},
        {"name": "a", "n": 0, "more": 1},
        {"name": "a", "n": 0, "note": 8},
    ):
        assert not among(wrong), wrong


@pytest.mark.parametrize("bounds", [(0, 0), (-1, 1), (9, 11), (-100, -99), (99, 12345), (-5, 0)])
def test_integers_are_those_between_the_bounds(bounds: tuple[int, int]) -> None:
    low, high = bounds
    automaton = compiled(closed({"n": {"type": "integer", "minimum": low, "maximum": high}}))
    for n in {*range(-130, 130), *range(low - 20, low + 20), *range(high - 20, high + 20)}:
        assert accepts(automaton, f'{{"n": {n}}}') == (low <= n <= high), n
    for text in ("01", "-0", "+1", "1.0", "1e1", "--1", ""):
        assert not accepts(automaton, f'{{"n": {text}}}')


TEXT = {"type": "string", "maxLength": 4}
NESTED: dict[str, Any] = TEXT
for _ in range(20):
    NESTED = {"type": "array", "items": NESTED, "maxItems": 1}
WIDE: dict[str, Any] = {"enum": list(range(10))}
for _ in range(8):
    WIDE = {"type": "array", "items": WIDE, "maxItems": 256}
LAUGHS = {
    f"l{n}": closed({"a": {"$ref": f"#/$defs/l{n + 1}"}, "b": {"$ref": f"#/$defs/l{n + 1}"}})
    for n in range(15)
} | {"l15": TEXT}
OVERLAPPING = {
    "anyOf": [
        {"type": "array", "maxItems": 200, "items": {"enum": ["a", "b", f"{n:c}"]}}
        for n in range(100, 356)
    ]
}


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        (closed({"a": {"$ref": "#/$defs/x"}}) | {"$defs": LAUGHS, "x": 1}, "unsupported"),
        (closed({"a": {"$ref": "#/$defs/l0"}}) | {"$defs": LAUGHS}, "too_large"),
        (
            closed({"a": {"$ref": "#/$defs/x"}}) | {"$defs": {"x": {"$ref": "#/$defs/x"}}},
            "unsupported",
        ),
        (closed({"a": {"$ref": "https://example.com/s.json"}}), "unsupported"),
        (closed({"a": {"$ref": "#"}}), "unsupported"),
        (closed({"a": NESTED}), "too_large"),
        (closed({"a": WIDE}), "too_large"),
        (closed({"a": OVERLAPPING}), "too_large"),
        (closed({"a": {"type": "string", "maxLength": 10**9}}), "unsupported"),
        (closed({f"p{n}": {"type": "string", "maxLength": 4000} for n in range(60)}), "too_large"),
        (closed({f"p{n}": TEXT for n in range(65)}), "unsupported"),
        (closed({"a": {"type": "string"}}), "unsupported"),
        (closed({"a": TEXT | {"pattern": "(a+)+$"}}), "unsupported"),
        (closed({"a": {"type": "array", "items": TEXT}}), "unsupported"),
        (closed({"a": {"type": "integer", "minimum": 0}}), "unsupported"),
        (closed({"a": {"type": "integer", "minimum": 0, "maximum": 10**30}}), "unsupported"),
        (closed({"a": {"type": "number", "minimum": 0, "maximum": 0.5}}), "unsupported"),
        (closed({"a": {"not": TEXT}}), "unsupported"),
        (closed({"a": {"enum": [1.5]}}), "unsupported"),
        (closed({"a": {"enum": []}}), "unsupported"),
        (closed({"a": {"enum": ["x"], "type": "integer"}}), "unsupported"),
        (closed({"a": {"const": "\ud800"}}), "unsupported"),
        (closed({"a": True}), "unsupported"),
        (closed({"a": TEXT}, ["b"]), "unsupported"),
        ({"type": "object", "properties": {"a": TEXT}}, "unsupported"),
        ({"type": "string", "maxLength": 3}, "unsupported"),
        ({"type": ["object"], "additionalProperties": False}, "unsupported"),
        ([], "not_json"),
        ({"description": "x" * 70_000}, "too_large"),
    ],
)
def test_hostile_and_unbounded_schemas_are_refused_in_bounded_time(schema: Any, code: str) -> None:
    begun = time.process_time()
    with pytest.raises(ConfigurationRefused) as caught:
        compiled(schema)
    assert caught.value.code == f"schemas.{code}"
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize(
    "raw",
    [b'{"type": "object", "type": "object"}', b"{", b"\xff", b"[" * 60_000, b'{"a": NaN}', b""],
)
def test_what_is_not_one_clear_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigurationRefused, match="not a JSON object"):
        compile_schema(raw)


@pytest.mark.parametrize("raw", [b"\x00", b"", b"\xc1"])
def test_bytes_that_are_no_automaton_are_refused(raw: bytes) -> None:
    with pytest.raises(BoundaryRefused):
        automata.decode(raw)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_altered_automata_are_refused_or_stay_within_their_states(data: st.DataObject) -> None:
    good = compiled(closed({"a": {"type": "boolean"}}))
    table = bytearray(good.table)
    table[data.draw(st.integers(0, len(table) - 1))] = data.draw(st.integers(0, 255))
    altered = automata.Automaton(good.classes, good.width, bytes(table))
    try:
        found = automata.decode(automata.encode(altered))
    except BoundaryRefused:
        return
    for state in range(found.states):
        assert all(step(found, state, byte) < found.states for byte in range(256))
    assert all(step(found, at, byte) == DEAD for at in (DEAD, END) for byte in range(256))


def test_the_largest_acceptable_schema_is_within_the_caps() -> None:
    begun = time.process_time()
    found = compiled(closed({"a": {"type": "string", "maxLength": 3600}}))
    assert 30_000 < found.states <= MAX_STATES
    assert time.process_time() - begun < SECONDS


def test_references_expand_and_silent_keywords_say_nothing() -> None:
    inner = closed({"b": {"type": "boolean"}}) | {"title": "Inner"}
    schema = closed({"a": {"$ref": "#/$defs/Inner", "description": "one"}})
    automaton = compiled(schema | {"$defs": {"Inner": inner}, "title": "Outer"})
    assert accepts(automaton, '{"a": {"b": true}}')


def test_the_digest_knows_a_schema_by_its_members_and_not_by_their_order() -> None:
    one = {"type": "object", "properties": {"a": {"const": "x"}, "b": {"const": 1}}}
    other = {"properties": {"b": {"const": 1}, "a": {"const": "x"}}, "type": "object"}
    assert digest(one) == digest(other)
    assert digest(one) != digest({**one, "title": ""})
    assert digest({"const": 1}) != digest({"const": True})
