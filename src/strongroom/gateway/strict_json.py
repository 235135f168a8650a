"""JSON as one reader and only one reader can take it, decoded no further than needed to refuse it.

1. ``parse_object``: an object; its values are only skipped over, so that names can be judged first.
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
_SHOWN_CHARACTERS = 200
_T = TypeVar("_T")

_names: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_tree: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def parse_object(body: bytes) -> Fields:
    """The names in the object ``body`` with their values, undecoded.

    Raises:
        Refusal: 400 ``gateway.bad_json``, ``gateway.not_an_object`` or ``gateway.bad_request``.
    """
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

    Every colon outside strings follows one key; where keys were taken together there are fewer
    keys than colons. With escaped backslashes and quotes out of the way, each quote ends or begins
    a string.
    """
    try:
        keys = _count_keys(_tree.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_json(error) from None
    outside = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    if keys != sum(part.count(b":") for part in outside):
        raise Refusal(
            "gateway.duplicate_key",
            "An object in the request body has the same key twice.",
            action="Send each key once.",
        )


def _count_keys(tree: Any) -> int:
    if isinstance(tree, dict):
        return len(tree) + sum(map(_count_keys, tree.values()))
    return sum(map(_count_keys, tree)) if isinstance(tree, list) else 0


def _unacceptable(text: str) -> Refusal:
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
