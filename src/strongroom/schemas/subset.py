"""The subset of JSON Schema (draft 2020-12) that can be registered, as values of our own.

1. At most ``MAX_BYTES`` of JSON; no key stands twice in an object; no ``NaN``.
2. Keywords are those below; any other is refused by name, so that nothing is silently not enforced.
   ``title``, ``description``, ``default``, ``examples`` and ``$schema`` say nothing about values.
3. Everything has a bound: strings ``maxLength``, arrays ``maxItems``, numbers both ends, objects
   ``additionalProperties: false``.
4. ``$ref`` leads to ``#/$defs/NAME`` only, and never back to where it is.
5. Depth and number of parts, references expanded, are bounded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import ConfigurationRefused
from strongroom.schemas.reasons import too_large, unsupported

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16
MAX_PARTS: Final = 2_000
MAX_PROPERTIES: Final = 64
MAX_CHARACTERS: Final = 4_000
MAX_ITEMS: Final = 256
MAX_CHOICES: Final = 256
MAX_CHOICE_CHARACTERS: Final = 256
LARGEST: Final = 2**53 - 1
"""Beyond it JSON readers do not agree about integers (RFC 8259, section 6)."""

_SILENT: Final = frozenset({"title", "description", "default", "examples", "$schema"})
_KEYWORDS: Final = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength"}),
    "integer": frozenset({"minimum", "maximum"}),
    "number": frozenset({"minimum", "maximum"}),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}


@dataclass(frozen=True, slots=True)
class Text:
    """A string of ``least`` to ``most`` characters."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number from ``least`` to ``most``, which are whole; itself whole if ``whole``."""

    least: int
    most: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Literal:
    """One value, as JSON text."""

    text: str


@dataclass(frozen=True, slots=True)
class Array:
    """``least`` to ``most`` times ``items``."""

    items: Shape
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Object:
    """Members in this order: name, shape, whether it must be there."""

    members: tuple[tuple[str, Shape, bool], ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these."""

    shapes: tuple[Shape, ...]


Shape = Text | Number | Literal | Array | Object | Either


def load(raw: bytes) -> dict[str, Any]:
    """The schema in ``raw``, decoded: rule 1.

    Raises:
        ConfigurationRefused: ``schemas.too_large``, ``schemas.not_json``.
    """
    if len(raw) > MAX_BYTES:
        raise too_large(f"it has more than {MAX_BYTES} bytes")
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigurationRefused(
            "schemas.not_json",
            "The schema is not a JSON object in which each key stands once.",
            action="Give a file with one JSON Schema.",
        )
    return found


def read(schema: dict[str, Any]) -> Object:
    """The shape that a decoded schema describes: rules 2 to 5.

    Raises:
        ConfigurationRefused: ``schemas.unsupported``, ``schemas.too_large``.
    """
    definitions = schema.get("$defs", {})
    if not isinstance(definitions, dict):
        raise unsupported("$defs", "there is no object")
    body = {name: value for name, value in schema.items() if name != "$defs"}
    shape = _Reader(definitions).shape(body, "the root", ())
    if not isinstance(shape, Object):
        raise unsupported("the root", "it is no object")
    return shape


class _Reader:
    """Reads one schema; ``trail`` are the names of the references that led to a place."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._parts = 0

    def shape(self, schema: Any, where: str, trail: tuple[str, ...], depth: int = 0) -> Shape:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise too_large(f"it has more than {MAX_PARTS} parts, references expanded")
        if depth > MAX_DEPTH:
            raise too_large(f"it is more than {MAX_DEPTH} deep")
        if not isinstance(schema, dict):
            raise unsupported(where, "there is no schema (an object)")
        found = {name: value for name, value in schema.items() if name not in _SILENT}
        if "$ref" in found:
            return self._reference(found, where, trail, depth)
        if "anyOf" in found:
            return self._any_of(found, where, trail, depth)
        if "const" in found or "enum" in found:
            return _choices(found, where)
        kinds = found.pop("type", None)
        if isinstance(kinds, list) and 1 <= len(kinds) <= len(_KEYWORDS):
            allowed = frozenset[str]().union(*(_keywords(kind, where) for kind in kinds))
            _only(found, allowed, where)
            return Either(
                tuple(
                    self._typed(
                        kind,
                        {k: v for k, v in found.items() if k in _KEYWORDS[kind]},
                        where,
                        trail,
                        depth,
                    )
                    for kind in kinds
                )
            )
        _only(found, _keywords(kinds, where), where)
        return self._typed(kinds, found, where, trail, depth)

    def _typed(
        self, kind: str, found: dict[str, Any], where: str, trail: tuple[str, ...], depth: int
    ) -> Shape:
        match kind:
            case "object":
                return self._object(found, where, trail, depth)
            case "array":
                least, most = _bounds(found, "minItems", "maxItems", MAX_ITEMS, where)
                items = self.shape(found.get("items"), f"{where}, items", trail, depth + 1)
                return Array(items, least, most)
            case "string":
                return Text(*_bounds(found, "minLength", "maxLength", MAX_CHARACTERS, where))
            case "integer" | "number":
                return _number(found, where, whole=kind == "integer")
            case "boolean":
                return Either((Literal("true"), Literal("false")))
            case _:
                return Literal("null")

    def _object(
        self, found: dict[str, Any], where: str, trail: tuple[str, ...], depth: int
    ) -> Object:
        properties, required = found.get("properties", {}), found.get("required", [])
        if found.get("additionalProperties") is not False:
            raise unsupported(where, "additionalProperties is not false")
        if not isinstance(properties, dict) or len(properties) > MAX_PROPERTIES:
            raise unsupported(where, f"properties are no object of at most {MAX_PROPERTIES}")
        if not isinstance(required, list) or not all(
            isinstance(name, str) and name in properties for name in required
        ):
            raise unsupported(where, "required does not list names of properties")
        for name in properties:
            if len(name) > MAX_CHOICE_CHARACTERS:
                raise unsupported(where, "a property's name is too long")
        return Object(
            tuple(
                (name, self.shape(each, f"{where}, {name!r}", trail, depth + 1), name in required)
                for name, each in properties.items()
            )
        )

    def _reference(
        self, found: dict[str, Any], where: str, trail: tuple[str, ...], depth: int
    ) -> Shape:
        _only(found, frozenset({"$ref"}), where)
        target = found["$ref"]
        name = target.removeprefix("#/$defs/") if isinstance(target, str) else ""
        if f"#/$defs/{name}" != target or name not in self._definitions:
            raise unsupported(where, "$ref does not lead to one of $defs")
        if name in trail:
            raise unsupported(where, "$ref leads back to itself")
        return self.shape(self._definitions[name], f"$defs, {name!r}", (*trail, name), depth + 1)

    def _any_of(
        self, found: dict[str, Any], where: str, trail: tuple[str, ...], depth: int
    ) -> Either:
        _only(found, frozenset({"anyOf"}), where)
        listed = found["anyOf"]
        if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_CHOICES:
            raise unsupported(where, f"anyOf does not list 1 to {MAX_CHOICES} schemas")
        return Either(
            tuple(self.shape(each, f"{where}, anyOf", trail, depth + 1) for each in listed)
        )


def _choices(found: dict[str, Any], where: str) -> Either:
    _only(found, frozenset({"const", "enum", "type"}), where)
    if "const" in found and "enum" in found:
        raise unsupported(where, "there are both const and enum")
    values = [found["const"]] if "const" in found else found["enum"]
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_CHOICES:
        raise unsupported(where, f"enum does not list 1 to {MAX_CHOICES} values")
    kinds = found.get("type", list(_KEYWORDS))
    kinds = kinds if isinstance(kinds, list) else [kinds]
    texts = []
    for value in values:
        if isinstance(value, dict | list | float):
            raise unsupported(where, "a value is neither text nor integer nor true, false or null")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise unsupported(where, "an integer is beyond 2^53")
        if _kind_of(value) not in kinds and not (
            _kind_of(value) == "integer" and "number" in kinds
        ):
            raise unsupported(where, "a value is not of the type")
        texts.append(spelt(value))
        if len(texts[-1]) > MAX_CHOICE_CHARACTERS:
            raise unsupported(where, f"a value has more than {MAX_CHOICE_CHARACTERS} characters")
    return Either(tuple(Literal(text) for text in texts))


def spelt(value: str | int | bool | None) -> str:
    """A value as JSON text; text that is not UTF-8 (a lone surrogate) is refused."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unsupported("a text", "there is a lone surrogate") from None
    return text


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "string"


def _number(found: dict[str, Any], where: str, *, whole: bool) -> Number:
    least, most = found.get("minimum"), found.get("maximum")
    for bound in (least, most):
        if not isinstance(bound, int) or isinstance(bound, bool) or abs(bound) > LARGEST:
            raise unsupported(where, "minimum and maximum are not both integers below 2^53")
    if least > most:  # type: ignore[operator]
        raise unsupported(where, "minimum is above maximum")
    return Number(least, most, whole)  # type: ignore[arg-type]


def _bounds(
    found: dict[str, Any], low: str, high: str, largest: int, where: str
) -> tuple[int, int]:
    least, most = found.get(low, 0), found.get(high, -1)
    for bound in (least, most):
        if not isinstance(bound, int) or isinstance(bound, bool) or not 0 <= bound <= largest:
            raise unsupported(where, f"{high} (needed) and {low} are not within 0 to {largest}")
    if least > most:
        raise unsupported(where, f"{low} is above {high}")
    return least, most


def _keywords(kind: object, where: str) -> frozenset[str]:
    if not isinstance(kind, str) or kind not in _KEYWORDS:
        raise unsupported(where, "there is no type that is known")
    return _KEYWORDS[kind]


def _only(found: dict[str, Any], allowed: frozenset[str], where: str) -> None:
    for name in found:
        if name not in allowed:
            raise unsupported(where, f"the keyword {name[:40]!r} is not supported here")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
