"""Requests and answers of the console: bounded, parsed strictly, and with the same headers always.

Nothing here knows a page. A form is ``application/x-www-form-urlencoded``, at most 4 KiB, no field
twice; everything else is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_FORM_BYTES: Final = 4096
_FORM: Final = "application/x-www-form-urlencoded"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script, no inline style, no eval, nothing from anywhere else."""

SAFE: Final = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # not no-referrer: under it a browser sends `Origin: null` with our own forms
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)
"""On every answer, assets and errors too."""


class Refused(Exception):
    """The request gets this status and sentence."""

    def __init__(self, status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    body: bytes = b""
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    cache: str = "no-store"


def redirect(path: str, *headers: tuple[str, str]) -> Answer:
    """See other: always a path of ours, chosen by us."""
    return Answer(status=303, headers=(("location", path), *headers))


@dataclass(frozen=True)
class Request:
    """One request. Headers that came twice are joined by a comma, as RFC 9110 has it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    client: str
    _receive: Receive = field(repr=False)

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> Request:
        """From ASGI's scope."""
        headers: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        client = (scope.get("client") or ("",))[0]
        query = scope["query_string"].decode("latin-1")
        return cls(scope["method"], scope["path"], query, headers, client, receive)

    @property
    def live(self) -> bool:
        """Whether htmx asks, by itself and not an operator."""
        return self.headers.get("hx-request") == "true"

    def cookie(self, name: str) -> str:
        """A cookie's value; empty without it, or where it came more than once."""
        pairs = (pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";"))
        found = [value for key, _, value in pairs if key == name]
        return found[0] if len(found) == 1 else ""

    def fields(self) -> dict[str, str]:
        """The query's fields."""
        return _fields(self.query)

    async def form(self) -> dict[str, str]:
        """The fields of a form of ours.

        Raises:
            Refused: 403 for a form sent from another site, 413, 415, 400.
        """
        if not self._own_form():
            raise Refused(403, "This form was sent from another site.")
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise Refused(415, "This is not a form.")
        body = b""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Refused(400, "The form did not arrive whole.")
            body += message.get("body", b"")
            if len(body) > MAX_FORM_BYTES:
                raise Refused(413, "The form is too large.")
            if not message.get("more_body", False):
                break
        try:
            return _fields(body.decode("ascii"))
        except UnicodeDecodeError:
            raise Refused(400, "The form is not ASCII.") from None

    def _own_form(self) -> bool:
        """Beside the token: what the browser itself says of where the form was."""
        if self.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        origin = self.headers.get("origin")
        return origin is None or origin.partition("://")[2] == self.headers.get("host", "")


def _fields(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict",
            max_num_fields=16,
        )  # fmt: skip
    except ValueError:
        raise Refused(400, "The fields are malformed.") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused(400, "A field came twice.")
    return found


async def reply(send: Send, answer: Answer, *, head: bool) -> None:
    """Send ``answer`` with the headers that all answers have."""
    headers = [
        ("content-type", answer.kind),
        ("content-length", str(len(answer.body))),
        ("cache-control", answer.cache),
        *SAFE,
        *answer.headers,
    ]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
