"""A form with one file (RFC 7578), read as strictly as JSON is: known fields, each once, bounded.

1. The boundary comes from the content type and is one that clients make.
2. The body begins with it and ends with it; nothing stands before or behind.
3. Each part has a disposition with a name, perhaps a file's name, and no encoding of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from strongroom.gateway.refusals import Refusal

KIND = "multipart/form-data"
_MOST_PARTS = 8
_MOST_HEAD_BYTES = 2048
_BOUNDARY = re.compile(r'multipart/form-data\s*;\s*boundary="?([A-Za-z0-9\'()+_,./:=?\-]{1,70})"?')
_DISPOSITION = re.compile(r'form-data; name="([^"\r\n]{1,64})"(?:; filename="([^"\r\n]{0,512})")?')


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form; ``filename`` None where it is no file."""

    content: bytes
    filename: str | None


def parse(content_type: str, body: bytes, known: Collection[str]) -> dict[str, Part]:
    """The fields of a form by name, each of ``known`` and there once.

    Raises:
        Refusal: 400 ``gateway.bad_form`` or, with its name, ``gateway.bad_request``.
    """
    matched = _BOUNDARY.fullmatch(content_type.strip())  # (1)
    if matched is None:
        raise _bad("its boundary is missing or unusual")
    mark = b"--" + matched[1].encode()
    if not body.startswith(mark + b"\r\n"):  # (2)
        raise _bad("it does not begin with its boundary")
    pieces = body[len(mark) :].split(b"\r\n" + mark, _MOST_PARTS + 1)
    if len(pieces) < 2 or pieces.pop() not in (b"--", b"--\r\n"):
        raise _bad("it does not end with its boundary, or has too many parts")
    found: dict[str, Part] = {}
    for piece in pieces:
        name, part = _part(piece)
        if name not in known:
            raise Refusal(
                "gateway.bad_request",
                f"The form has the unknown field `{name}`.",
                action=f"Send {' and '.join(sorted(known))} only.",
                param=name,
            )
        if name in found:
            raise _bad(f"the field {name} stands twice")
        found[name] = part
    return found


def _part(piece: bytes) -> tuple[str, Part]:
    """Step 3."""
    head, separator, content = piece.partition(b"\r\n\r\n")
    if not (separator and head.startswith(b"\r\n") and len(head) <= _MOST_HEAD_BYTES):
        raise _bad("a part has no head")
    headers: dict[str, str] = {}
    for line in head[2:].split(b"\r\n"):
        try:
            name, colon, value = line.decode().partition(":")
        except UnicodeDecodeError:
            raise _bad("a part's head is not UTF-8") from None
        if not colon or name.lower() in headers:
            raise _bad("a part's head is malformed")
        headers[name.lower()] = value.strip()
    matched = _DISPOSITION.fullmatch(headers.pop("content-disposition", ""))
    if matched is None or not set(headers) <= {"content-type"}:
        raise _bad("a part has no plain disposition")
    return matched[1], Part(content, matched[2])


def _bad(why: str) -> Refusal:
    return Refusal(
        "gateway.bad_form",
        f"The form cannot be read: {why}.",
        action="Send multipart/form-data as OpenAI's client does.",
    )
