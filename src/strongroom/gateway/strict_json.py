"""JSON as one reader and only one reader can take it.

1. UTF-8 without a flaw, and no lone surrogate.
2. One value, numbers within range, no NaN or Infinity, nesting bounded.
3. An object, in which no key stands twice at any level.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from strongroom.gateway.refusals import Refusal

MAX_DEPTH = 32

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_strings = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``.

    Raises:
        Refusal: 400 ``gateway.bad_json``, ``gateway.duplicate_key`` or ``gateway.not_an_object``.
    """
    try:
        tree = _decoder.decode(body)
    except UnicodeDecodeError:  # no DecodeError: msgspec lets it through
        raise _bad_json("it is not UTF-8") from None
    except RecursionError:
        raise _bad_json("it is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise _bad_json(str(error)) from None
    if not isinstance(tree, dict):
        raise Refusal(
            "gateway.not_an_object",
            "The request body is not a JSON object.",
            action="Send one object.",
        )
    # Every colon outside a string follows one key. Fewer keys than colons: some stood twice.
    if _count_keys(tree, MAX_DEPTH) != _strings.sub(b"", body).count(b":"):
        raise Refusal(
            "gateway.duplicate_key",
            "An object in the request body has the same key twice.",
            action="Send each key once.",
        )
    return tree


def _count_keys(tree: Any, depth: int) -> int:
    if depth == 0:
        raise _bad_json("it is nested too deeply")
    if isinstance(tree, dict):
        return len(tree) + sum(
            _count_keys(value, depth - 1)
            for value in tree.values()
            if isinstance(value, dict | list)
        )
    return sum(_count_keys(value, depth - 1) for value in tree if isinstance(value, dict | list))


def _bad_json(reason: str) -> Refusal:
    return Refusal(
        "gateway.bad_json",
        f"The request body is not acceptable JSON: {reason}.",
        action="Send well-formed JSON in UTF-8.",
    )
