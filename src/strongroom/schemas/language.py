"""The JSON texts of a shape, as an automaton.

Each value has one spelling, that of Python's ``json.dumps`` but for escapes: ``, `` between members
and items, ``: `` behind names, members in the schema's order, no other white space. Strings are
UTF-8 with the short escapes (RFC 8259, section 7) and no ``\\u``. Integers have no sign, zero or
exponent too many; other numbers have up to ``DIGITS`` digits behind the point.
"""

from __future__ import annotations

from typing import Final

from strongroom.schemas.regular import Builder, Place
from strongroom.schemas.subset import Array, Either, Literal, Number, Object, Shape, Text, spelt

DIGITS: Final = 6

_PLAIN: Final = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E))
"""ASCII but controls, quote and backslash."""

_TAILS: Final = (
    ((0xC2, 0xDF), ()),
    ((0xE0, 0xE0), ((0xA0, 0xBF),)),
    ((0xE1, 0xEC), ((0x80, 0xBF),)),
    ((0xED, 0xED), ((0x80, 0x9F),)),
    ((0xEE, 0xEF), ((0x80, 0xBF),)),
    ((0xF0, 0xF0), ((0x90, 0xBF), (0x80, 0xBF))),
    ((0xF1, 0xF3), ((0x80, 0xBF), (0x80, 0xBF))),
    ((0xF4, 0xF4), ((0x80, 0x8F), (0x80, 0xBF))),
)
"""First bytes of longer characters, and the bytes between first and last (Unicode, table 3-7)."""


def spell(shape: Shape, builder: Builder, start: Place, end: Place) -> None:
    """Let every JSON text of ``shape``, and nothing else, lead from ``start`` to ``end``."""
    match shape:
        case Literal():
            builder.text(start, shape.text, end)
        case Either():
            for each in shape.shapes:
                spell(each, builder, start, end)
        case Text():
            _string(shape, builder, start, end)
        case Number():
            _number(shape, builder, start, end)
        case Array():
            _array(shape, builder, start, end)
        case Object():
            _object(shape, builder, start, end)


def _object(shape: Object, builder: Builder, start: Place, end: Place) -> None:
    """Two rows of places between members: before the first that is written, and behind one."""
    first, later = builder.place(), builder.place()
    opened = False
    builder.edge(start, 0x7B, 0x7B, first)
    for name, value, required in shape.members:
        begun, done = builder.place(), builder.place()
        member = spelt(name) + ": "
        builder.text(first, member, begun)
        if opened:
            builder.text(later, ", " + member, begun)
        spell(value, builder, begun, done)
        following = builder.place()
        builder.skip(done, following)
        if not required:
            if opened:
                builder.skip(later, following)
            skipped = builder.place()
            builder.skip(first, skipped)
            first = skipped
        else:
            first = builder.place()  # nothing leads here: something has been written
        later, opened = following, True
    for place in (first, later):
        builder.edge(place, 0x7D, 0x7D, end)


def _array(shape: Array, builder: Builder, start: Place, end: Place) -> None:
    place = builder.place()
    builder.edge(start, 0x5B, 0x5B, place)
    for count in range(shape.most + 1):
        if count >= shape.least:
            builder.edge(place, 0x5D, 0x5D, end)
        if count == shape.most:
            return
        begun, done = place, builder.place()
        if count:
            begun = builder.place()
            builder.text(place, ", ", begun)
        spell(shape.items, builder, begun, done)
        place = done


def _string(shape: Text, builder: Builder, start: Place, end: Place) -> None:
    place = builder.place()
    builder.edge(start, 0x22, 0x22, place)
    for count in range(shape.most + 1):
        if count >= shape.least:
            builder.edge(place, 0x22, 0x22, end)
        if count < shape.most:
            following = builder.place()
            _character(builder, place, following)
            place = following


def _character(builder: Builder, start: Place, end: Place) -> None:
    for low, high in _PLAIN:
        builder.edge(start, low, high, end)
    escaped = builder.place()
    builder.edge(start, 0x5C, 0x5C, escaped)
    for letter in b'"\\/bfnrt':
        builder.edge(escaped, letter, letter, end)
    last = builder.place()
    builder.edge(last, 0x80, 0xBF, end)
    wide = builder.place()
    builder.edge(wide, 0x80, 0xBF, last)
    for (low, high), between in _TAILS:
        place = last
        for first, final in reversed(between):
            before = wide if (place, first, final) == (last, 0x80, 0xBF) else builder.place()
            if before is not wide:
                builder.edge(before, first, final, place)
            place = before
        builder.edge(start, low, high, place)


def _number(shape: Number, builder: Builder, start: Place, end: Place) -> None:
    if shape.most >= 0:
        _magnitude(builder, start, end, max(shape.least, 0), shape.most, whole=shape.whole)
    if shape.least < 0:
        negative = builder.place()
        builder.edge(start, 0x2D, 0x2D, negative)
        low, high = max(-shape.most, 1), -shape.least
        _magnitude(builder, negative, end, low, high, whole=shape.whole)
        if not shape.whole and shape.most >= 0:
            point = builder.place()
            builder.edge(negative, 0x30, 0x30, point)
            _fraction(builder, point, end)


def _magnitude(
    builder: Builder, start: Place, end: Place, low: int, high: int, *, whole: bool
) -> None:
    """Numbers from ``low`` to ``high``, both at least 0."""
    _integers(builder, start, end, low, high)
    if not whole and low < high:
        point = builder.place()
        _integers(builder, start, point, low, high - 1)
        _fraction(builder, point, end)


def _fraction(builder: Builder, start: Place, end: Place) -> None:
    place = builder.place()
    builder.edge(start, 0x2E, 0x2E, place)
    for _ in range(DIGITS):
        following = builder.place()
        builder.edge(place, 0x30, 0x39, following)
        builder.skip(following, end)
        place = following


def _integers(builder: Builder, start: Place, end: Place, low: int, high: int) -> None:
    """Decimal spellings of the integers from ``low`` to ``high``: one range for each length."""
    for length in range(len(str(low)), len(str(high)) + 1):
        least = max(low, 10 ** (length - 1) if length > 1 else 0)
        most = min(high, 10**length - 1)
        _digits(builder, start, end, str(least), str(most))


def _digits(builder: Builder, start: Place, end: Place, low: str, high: str) -> None:
    """Texts of digits from ``low`` to ``high``, which have the same length."""
    if len(low) == 1:
        builder.edge(start, ord(low), ord(high), end)
        return
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    if first == last:
        _behind(builder, start, end, low[0], low[1:], high[1:])
        return
    if low[1:] != "0" * rest:
        _behind(builder, start, end, low[0], low[1:], "9" * rest)
        first += 1
    if high[1:] != "9" * rest:
        _behind(builder, start, end, high[0], "0" * rest, high[1:])
        last -= 1
    if first <= last:
        place = builder.place()
        builder.edge(start, 0x30 + first, 0x30 + last, place)
        for _ in range(rest - 1):
            following = builder.place()
            builder.edge(place, 0x30, 0x39, following)
            place = following
        builder.edge(place, 0x30, 0x39, end)


def _behind(builder: Builder, start: Place, end: Place, digit: str, low: str, high: str) -> None:
    place = builder.place()
    builder.edge(start, ord(digit), ord(digit), place)
    _digits(builder, place, end, low, high)
