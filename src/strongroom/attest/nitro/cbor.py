"""The part of CBOR (RFC 8949) that the Nitro Security Module writes, read strictly.

Unsigned and small negative integers, byte and text strings, arrays, maps and null; every number
in its shortest form, no tag, no key twice, nothing left over. One thing is as the module does it:
a map may have indefinite length, because that is how it writes the document.
"""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = "int | bytes | str | list[Value] | dict[Value, Value] | None"

MAX_DEPTH = 4
_INDEFINITE, _BREAK, _NULL = 0xBF, 0xFF, 0xF6


def loads(data: bytes) -> Value:
    """The one value that ``data`` is.

    Raises:
        ValueError: it is no value of the above, or something follows it.
    """
    value, end = _value(data, 0, 0)
    if end != len(data):
        raise ValueError("bytes after the value")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if at >= len(data) or depth > MAX_DEPTH:
        raise ValueError("cut off, or too deep")
    first = data[at]
    if first == _NULL:
        return None, at + 1
    if first == _INDEFINITE:
        return _map(data, at + 1, None, depth)
    major, number, at = first >> 5, *_number(data, at)
    match major:
        case 0:
            return number, at
        case 1:
            return -1 - number, at
        case 2 | 3:
            if number > len(data) - at:
                raise ValueError("a string is cut off")
            raw = data[at : at + number]
            return (raw if major == 2 else raw.decode("utf-8")), at + number
        case 4:
            return _array(data, at, number, depth)
        case 5:
            return _map(data, at, number, depth)
    raise ValueError("a type that the module does not write")


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The argument of an initial byte, in its shortest form, and where it ends."""
    short = data[at] & 0x1F
    if short < 24:
        return short, at + 1
    if short > 27:
        raise ValueError("reserved or indefinite length")
    size = 1 << (short - 24)
    raw = data[at + 1 : at + 1 + size]
    number = int.from_bytes(raw, "big")
    if len(raw) != size or number < (24 if size == 1 else 1 << (4 * size)):
        raise ValueError("cut off, or not in shortest form")
    return number, at + 1 + size


def _array(data: bytes, at: int, count: int, depth: int) -> tuple[Value, int]:
    if count > len(data) - at:
        raise ValueError("an array is cut off")
    values: list[Value] = []
    for _ in range(count):
        value, at = _value(data, at, depth + 1)
        values.append(value)
    return values, at


def _map(data: bytes, at: int, count: int | None, depth: int) -> tuple[Value, int]:
    if count is not None and count > len(data) - at:
        raise ValueError("a map is cut off")
    entries: dict[Value, Value] = {}
    while count is None or len(entries) < count:
        if count is None and data[at : at + 1] == bytes([_BREAK]):
            return entries, at + 1
        key, at = _value(data, at, depth + 1)
        if not isinstance(key, int | str) or key in entries:
            raise ValueError("a key stands twice, or is of another type")
        entries[key], at = _value(data, at, depth + 1)
    return entries, at
