"""Schemas of the subset for hypothesis, walks through automata, and an independent validator."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema_rs
from hypothesis import strategies as st

from strongroom.boundary.automaton import DEAD, END, START, Automaton

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)


def closed(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """An object with these members and no other."""
    needed = list(properties) if required is None else required
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


@st.composite
def bounded(draw: st.DrawFn, low: str, high: str, most: int, least: int = 0) -> dict[str, int]:
    first, second = draw(st.integers(least, most)), draw(st.integers(least, most))
    return {low: min(first, second), high: max(first, second)}


SCALARS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    bounded("minLength", "maxLength", 5).map(lambda b: {"type": "string", **b}),
    bounded("minimum", "maximum", 1200, -1200).map(lambda b: {"type": "integer", **b}),
    bounded("minimum", "maximum", 30, -30).map(lambda b: {"type": "number", **b}),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(TEXTS | st.integers(-99, 99) | st.none() | st.booleans(), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    TEXTS.map(lambda value: {"const": value, "type": "string"}),
    st.just({"type": ["string", "null"], "maxLength": 2, "description": "perhaps"}),
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    properties = draw(st.dictionaries(TEXTS, inner, max_size=4))
    return closed(properties, [name for name in properties if draw(st.booleans())])


def _around(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    arrays = st.tuples(inner, bounded("minItems", "maxItems", 3)).map(
        lambda pair: {"type": "array", "items": pair[0], **pair[1]}
    )
    either = st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})
    return arrays | either | objects(inner)


SCHEMAS = objects(st.recursive(SCALARS, _around, max_leaves=6))


def step(automaton: Automaton, state: int, byte: int) -> int:
    at = 2 * (state * automaton.width + automaton.classes[byte])
    return int.from_bytes(automaton.table[at : at + 2], "little")


def accepts(automaton: Automaton, text: str) -> bool:
    state = START
    for byte in text.encode():
        state = step(automaton, state, byte)
    return state == END


def walk(automaton: Automaton, chance: random.Random) -> str:
    """A text of the language, by a random walk that sometimes prefers to end."""
    state, said = START, bytearray()
    while state != END:
        moves = [byte for byte in range(256) if step(automaton, state, byte) != DEAD]
        early = [byte for byte in moves if byte in b'"]}']
        said.append(chance.choice(early if early and chance.random() < 0.3 else moves))
        state = step(automaton, state, said[-1])
    return said.decode()


def fits(schema: dict[str, Any], text: str) -> bool:
    """Whether ``text`` is JSON that fits, by another implementation of JSON Schema."""
    return bool(jsonschema_rs.validator_for(schema).is_valid(json.loads(text)))
