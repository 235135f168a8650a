"""Canonical JSON (RFC 8785), as far as this format needs it: objects, lists, strings, integers.

A document is decoded strictly (unknown fields refused) and encoded again; only if the same bytes
come out is it accepted. That refuses duplicate keys, white space, other escapes, other orders and
other spellings of numbers in one comparison. Object keys are ASCII by the types used, so that
sorting by bytes and by UTF-16 units agree.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from strongroom.artifact.reasons import refuse

T = TypeVar("T")

MAX_INTEGER = 2**53 - 1
"""Largest integer that RFC 8785 carries exactly."""


def encode(document: object) -> bytes:
    """Canonical bytes of a struct of this format."""
    return msgspec.json.encode(document, order="sorted")


def decode(raw: bytes, kind: type[T], name: str) -> T:
    """The document in ``raw``, or ``artifact.malformed`` / ``artifact.not_canonical``."""
    try:
        document = msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise refuse("artifact.malformed", name=name) from None
    if encode(document) != raw:
        raise refuse("artifact.not_canonical", name=name)
    return document
