"""JSON as one reader and only one reader can take it, decoded no further than needed to refuse it.

1. ``parse_object``: no more strings than any request needs, counted on the bytes, so that a body
   made to be slow is not parsed at all; then an object; its values are only skipped over, so that
   names can be judged first.
2. ``decode_fields``: the values that are left, straight into a closed type; a wrong type, an
   unknown field, bad UTF-8, a lone surrogate or a number out of range ends it there.
3. ``check_unique``: in the whole body, no key stands twice in an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from strongroom.gateway.refusals import Refusal

Fields = dict[str, msgspec.Raw]

_MOST_FIELDS = 256
MOST_STRINGS = 8192
"""Keys and texts in one body: 1024 messages of one part each have 7168."""

_SHOWN_CHARACTERS = 200
_TOLD_CHARACTERS = 1024
_T = TypeVar("_T")

_WITH_STRINGS = frozenset({dict, list, str})

_names: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_tree: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def parse_object(body: bytes) -> Fields:
    """The names in the object ``body`` with their values, undecoded.

    Raises:
        Refusal: 400 ``gateway.bad_json``, ``gateway.not_an_object``, ``gateway.bad_request`` or
            ``gateway.too_many_strings``.
    """
    _bound(body)
    try:
        fields = _names.decode(body)
    except msgspec.ValidationError:
        raise Refusal(
            "gateway.not_an_object",
            "The request body is not a JSON object.",
            action="Send one object.",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_json(error) from None
    if len(fields) > _MOST_FIELDS:
        raise bad_request("The request has more fields than there are names for", None)
    return fields


def decode_fields(fields: Mapping[str, msgspec.Raw], decoder: msgspec.json.Decoder[_T]) -> _T:
    """Decode the object of ``fields`` into the decoder's closed type.

    Raises:
        Refusal: 400 ``gateway.bad_json``, ``gateway.bad_request`` or
            ``gateway.media_not_accepted``, with the field's name.
    """
    members = b",".join(_encode(name) + b":" + bytes(raw) for name, raw in fields.items())
    try:
        return decoder.decode(b"{" + members + b"}")
    except msgspec.ValidationError as error:
        raise _unacceptable(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_json(error) from None


def decode_value(raw: msgspec.Raw) -> Any:
    """One short value; ``gateway.bad_json`` if it is none."""
    try:
        return _tree.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_json(error) from None


def check_unique(body: bytes) -> None:
    """Refuse an acceptable body in which a key stands twice: 400 ``gateway.duplicate_key``.

    Each key and text is written between two quotes that nothing escapes. Where keys were taken
    together, the decoded body has fewer strings than were written.
    """
    try:
        strings = _count_strings(_tree.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_json(error) from None
    if b"\\\\" in body:  # so that a backslash before a quote escapes it
        body = body.replace(b"\\\\", b"")
    if 2 * strings != body.count(b'"') - body.count(b'\\"'):
        raise Refusal(
            "gateway.duplicate_key",
            "An object in the request body has the same key twice.",
            action="Send each key once.",
        )


def _count_strings(tree: Any) -> int:
    """Keys and texts in a decoded value."""
    if isinstance(tree, str):
        return 1
    keys = len(tree) if isinstance(tree, dict) else 0
    below = tree.values() if isinstance(tree, dict) else tree
    return keys + sum(_count_strings(each) for each in below if type(each) in _WITH_STRINGS)


def _bound(body: bytes) -> None:
    """Refuse a body with too many strings: 400 ``gateway.too_many_strings``.

    A string has two quotes that no backslash escapes. A quote behind a backslash may be one of
    them (the backslash being escaped itself), but only a closing one: so of all strings at least
    half are counted, and never one that is not there.
    """
    quotes = body.count(b'"')
    if quotes <= 2 * MOST_STRINGS or quotes - body.count(b'\\"') <= 2 * MOST_STRINGS:
        return
    raise Refusal(
        "gateway.too_many_strings",
        f"The request body has more than {MOST_STRINGS} keys and texts.",
        action="Send fewer messages, or join their parts.",
    )


def _unacceptable(text: str) -> Refusal:
    if len(text) > 2 * _TOLD_CHARACTERS:  # it quotes a name of the caller's
        text = text[:_TOLD_CHARACTERS] + text[-_TOLD_CHARACTERS:]
    text, _, path = text.partition(" - at `$")
    param = path.rstrip("`").lstrip(".") or None
    if text.startswith("Invalid enum value") and param and param.endswith("].type"):
        return Refusal(
            "gateway.media_not_accepted",
            f"`{param}` is not `text`.",
            action="Send text only; media and tools are not accepted.",
            param=param,
        )
    if "unknown field" in text:
        name = text.split("`", 1)[1].rstrip("`")[:_SHOWN_CHARACTERS]
        param = f"{param}.{name}" if param else name
    return bad_request(text, param)


def bad_request(message: str, param: str | None) -> Refusal:
    """The refusal of a field's type or value."""
    where = f" (at `{param}`)" if param and f"`{param}`" not in message else ""
    return Refusal(
        "gateway.bad_request",
        f"{message.rstrip('.')[:_SHOWN_CHARACTERS]}{where}.",
        action="See docs/api.md for the fields that are accepted.",
        param=param,
    )


def _bad_json(error: Exception) -> Refusal:
    reason = str(error)
    if isinstance(error, UnicodeDecodeError):  # no DecodeError: msgspec lets it through
        reason = "it is not UTF-8"
    elif isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    return Refusal(
        "gateway.bad_json",
        f"The request body is not acceptable JSON: {reason[:_SHOWN_CHARACTERS]}.",
        action="Send well-formed JSON in UTF-8.",
    )
