"""Structured output: which registered schema a request names.

``response_format`` is accepted in OpenAI's form ``json_schema`` with the name of a registered
schema. A schema that the caller sends along must be that very one; it is compared and never used.
Every other form is left to the table of denied parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from strongroom.gateway.refusals import Refusal
from strongroom.gateway.strict_json import Fields
from strongroom.schemas.canonical import digest
from strongroom.schemas.subset import MAX_BYTES

Registered = Mapping[str, str]
"""Name of a schema to the digest of its canonical form."""

_FIELD: Final = "response_format"


class JsonSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which schema; ``schema`` may repeat it. It is always held to, so ``strict`` says nothing."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    description: Annotated[str, Meta(max_length=4096)] | None = None
    schema: dict[str, Any] | UnsetType = UNSET
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one form that is accepted beside that of plain text."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


_decoder: msgspec.json.Decoder[ResponseFormat] = msgspec.json.Decoder(ResponseFormat)


def take_schema(fields: Fields, registered: Registered) -> str:
    """The name of the registered schema in ``fields``, out of which it is taken; else empty.

    Raises:
        Refusal: 400 ``gateway.schema_differs``.
    """
    raw = fields.get(_FIELD)
    if raw is None or not registered or len(bytes(raw)) > 2 * MAX_BYTES:
        return ""
    try:
        wanted = _decoder.decode(raw).json_schema
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    if wanted.name not in registered:
        return ""
    if wanted.schema is not UNSET and not _same(wanted.schema, registered[wanted.name]):
        raise Refusal(
            "gateway.schema_differs",
            f"The schema sent with the name `{wanted.name}` is not the one registered under it.",
            action="Send the registered one, or its name alone.",
            param=_FIELD,
        )
    del fields[_FIELD]
    return wanted.name


def _same(schema: Any, registered: str) -> bool:
    try:
        return digest(schema) == registered
    except RecursionError:
        return False
