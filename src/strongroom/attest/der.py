"""Read DER (ITU-T X.690) strictly: shortest lengths, shortest numbers, nothing left over.

Every function raises ``ValueError`` on what is not DER; a verifier turns that into its refusal.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

BOOLEAN, INTEGER, BIT_STRING, OCTETS, OID = 0x01, 0x02, 0x03, 0x04, 0x06
IA5, UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x16, 0x17, 0x18, 0x30, 0x31
_UTC = re.compile(rb"[0-9]{12}Z")
_GENERALIZED = re.compile(rb"[0-9]{14}Z")


class Element(NamedTuple):
    """One element: its tag byte, its contents, and all its bytes."""

    tag: int
    body: bytes
    raw: bytes


def elements(data: bytes) -> list[Element]:
    """The elements that stand in a row in ``data``."""
    found: list[Element] = []
    at = 0
    while at < len(data):
        start, tag = at, data[at]
        if tag & 0x1F == 0x1F or at + 1 >= len(data):
            raise ValueError("tag")
        size, at = data[at + 1], at + 2
        if size >= 0x80:
            width = size & 0x7F
            if not 1 <= width <= 4 or at + width > len(data):
                raise ValueError("length")
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
            if size < max(0x80, 1 << 8 * (width - 1)):
                raise ValueError("length not in shortest form")
        if at + size > len(data):
            raise ValueError("element runs over the end")
        found.append(Element(tag, data[at : at + size], data[start : at + size]))
        at += size
    return found


def only(data: bytes, tag: int) -> Element:
    """The single element that ``data`` is."""
    found = elements(data)
    if len(found) != 1:
        raise ValueError("not one element")
    return expect(found[0], tag)


def expect(element: Element, tag: int) -> Element:
    """``element``, if it has this tag."""
    if element.tag != tag:
        raise ValueError("unexpected tag")
    return element


def children(element: Element, tag: int = SEQUENCE) -> list[Element]:
    """The elements inside of ``element``, which has ``tag``."""
    return elements(expect(element, tag).body)


def integer(element: Element) -> int:
    """A number that is not negative."""
    body = expect(element, INTEGER).body
    if not body or body[0] & 0x80 or (len(body) > 1 and body[0] == 0 and not body[1] & 0x80):
        raise ValueError("integer")
    return int.from_bytes(body, "big")


def boolean(element: Element) -> bool:
    """A truth value; DER leaves out those that equal their default."""
    if expect(element, BOOLEAN).body not in (b"\x00", b"\xff"):
        raise ValueError("boolean")
    return element.body == b"\xff"


def bits(element: Element) -> bytes:
    """A bit string of whole bytes."""
    body = expect(element, BIT_STRING).body
    if not body or body[0] != 0:
        raise ValueError("bit string")
    return body[1:]


def object_identifier(element: Element) -> str:
    """An object identifier in dotted form."""
    body = expect(element, OID).body
    if not body or body[-1] & 0x80:
        raise ValueError("object identifier")
    arcs, arc, fresh = [], 0, True
    for byte in body:
        if fresh and byte == 0x80:
            raise ValueError("object identifier not in shortest form")
        arc, fresh = arc << 7 | byte & 0x7F, not byte & 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(number) for number in (first, arcs[0] - 40 * first, *arcs[1:]))


def time(element: Element) -> int:
    """A time of RFC 5280, section 4.1.2.5, in Unix seconds."""
    if element.tag == UTC_TIME and _UTC.fullmatch(element.body):
        century = "20" if element.body < b"50" else "19"
        text = century + element.body.decode("ascii")
    elif element.tag == GENERALIZED_TIME and _GENERALIZED.fullmatch(element.body):
        text = element.body.decode("ascii")
    else:
        raise ValueError("time")
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())
