"""The KBS protocol's HTTP, without I/O: a request in, an answer out.

Errors are the protocol's ``ErrorInformation``, an object of ``type`` and ``detail`` as in RFC 9457,
under the statuses that it names: 401, 403 and 404 (and 408). ``type`` ends with the reason's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from strongroom.errors import StrongroomError
from strongroom.release.kbs.reasons import refuse, status_of
from strongroom.release.kbs.service import KbsService
from strongroom.release.kbs.sessions import LIFETIME_SECONDS, Session

PREFIX: Final = "/kbs/v0/"
COOKIE: Final = "kbs-session-id"
ERROR_TYPE: Final = "tag:strongroom,2026:kbs/errors/"

_RESOURCE: Final = "resource/"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. ``cookies`` and ``authorizations`` are all headers of these names."""

    method: str
    path: str
    body: bytes = b""
    cookies: tuple[str, ...] = ()
    authorizations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: status, JSON body, and a cookie to set (empty for none)."""

    status: int
    body: bytes
    set_cookie: str = ""


def handle(service: KbsService, asked: Asked) -> Answer:
    """The answer to one request; a refusal is one, too."""
    try:
        return _route(service, asked)
    except StrongroomError as refusal:
        return refused(refusal)


def refused(refusal: StrongroomError) -> Answer:
    """What a guest is told of a refusal."""
    told = {"type": ERROR_TYPE + refusal.code, "detail": f"{refusal.message} {refusal.action}"}
    return Answer(status_of(refusal.code), msgspec.json.encode(told))


def _route(service: KbsService, asked: Asked) -> Answer:
    name = asked.path.removeprefix(PREFIX)
    posts: Mapping[str, Callable[[], tuple[Session, Mapping[str, Any]]]] = {
        "auth": lambda: service.auth(asked.body),
        "attest": lambda: service.attest(_cookie(asked.cookies), asked.body),
    }
    if asked.path.startswith(PREFIX) and asked.method == "POST" and name in posts:
        session, told = posts[name]()
        return Answer(200, msgspec.json.encode(told), _set_cookie(session))
    if asked.path.startswith(PREFIX + _RESOURCE) and asked.method == "GET":
        cookie, token = _cookie(asked.cookies), _bearer(asked.authorizations)
        sealed = service.resource(cookie, token, name.removeprefix(_RESOURCE))
        return Answer(200, msgspec.json.encode(sealed))
    raise refuse("release.kbs_no_resource")


def _set_cookie(session: Session) -> str:
    return f"{COOKIE}={session.cookie}; Path=/kbs; Max-Age={LIFETIME_SECONDS}; HttpOnly"


def _cookie(headers: tuple[str, ...]) -> str | None:
    """The session's cookie; None if there is none, or more than one."""
    pairs = [pair.strip().partition("=") for header in headers for pair in header.split(";")]
    found = [value for name, _, value in pairs if name == COOKIE]
    return found[0] if len(found) == 1 else None


def _bearer(headers: tuple[str, ...]) -> str | None:
    if len(headers) != 1:
        return None
    scheme, _, token = headers[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
