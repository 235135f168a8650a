"""Canonical JSON (RFC 8785) of plain values, numbers with fractions included.

Numbers are written as ECMAScript does (section 3.2.2.3): the shortest digits that read back, plain
between 1e-6 and 1e21, with an exponent elsewhere. Keys are sorted by UTF-16 code units.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any


def canonical(value: Any) -> bytes:
    """The one encoding of ``value``.

    Raises:
        ValueError: a number is not finite or an integer above 2^53, a key is no text, or text holds
            a lone surrogate.
        TypeError: a value is of a type that JSON does not have.
    """
    return _encode(value).encode("utf-8")


def _encode(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            if abs(value) > 2**53:
                raise ValueError("an integer above 2^53 has no canonical form")
            return str(value)
        case float():
            return _number(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{','.join(map(_encode, value))}]"
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise ValueError("a key is no text")
            ordered = sorted(value, key=lambda key: key.encode("utf-16-be"))
            return "{" + ",".join(f"{_encode(key)}:{_encode(value[key])}" for key in ordered) + "}"
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _number(value: float) -> str:
    if not isfinite(value):
        raise ValueError("a number that is not finite has no canonical form")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """``digits`` with the decimal point after ``point`` of them."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{tail}e{point - 1:+d}"
