"""A refused request, and its two faces: OpenAI's error object and RFC 9457 problem details."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.errors import RequestRefused

_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class OpenAIError(msgspec.Struct, frozen=True):
    """OpenAI's error object, with our code and, for a denied parameter, the rung."""

    message: str
    type: str
    param: str | None
    code: str
    rung: str | UnsetType = UNSET


class OpenAIErrorBody(msgspec.Struct, frozen=True):
    """What OpenAI's clients find an error in."""

    error: OpenAIError


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 problem details. ``error`` repeats the sentence, as Open Inference wants it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    error: str
    param: str | UnsetType = UNSET
    rung: str | UnsetType = UNSET


class Refusal(RequestRefused):
    """A caller's request is refused with an HTTP status.

    Args:
        code: stable identifier, ``gateway.*`` or the keeper's own ``keeper.*``.
        message: one sentence, what happened.
        action: one sentence, what to do.
        status: HTTP status.
        param: the request's field that is at fault.
        rung: for a denied parameter, the rung of disclosure that would grant it, or ``never``.
        headers: further response headers.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        action: str,
        status: int = 400,
        param: str | None = None,
        rung: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(code, message, action=action)
        self.status = status
        self.param = param
        self.rung = rung
        self.headers = headers

    @property
    def sentence(self) -> str:
        """What happened and what to do."""
        return f"{self.message} {self.action}".rstrip()

    def openai(self) -> OpenAIErrorBody:
        """The body that OpenAI's clients understand."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return OpenAIErrorBody(
            OpenAIError(
                self.sentence,
                _KINDS.get(self.status, kind),
                self.param,
                self.code,
                _or_unset(self.rung),
            )
        )

    def problem(self) -> Problem:
        """The RFC 9457 problem details."""
        return Problem(
            type="about:blank",
            title=TITLES.get(self.status, "Error"),
            status=self.status,
            detail=self.sentence,
            code=self.code,
            error=self.message,
            param=_or_unset(self.param),
            rung=_or_unset(self.rung),
        )


def encode_openai(refusal: Refusal) -> bytes:
    """OpenAI's error object as JSON."""
    return msgspec.json.encode(refusal.openai())


def encode_problem(refusal: Refusal) -> bytes:
    """The problem details as JSON."""
    return msgspec.json.encode(refusal.problem())


def _or_unset(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text
