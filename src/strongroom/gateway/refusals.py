"""A refused request, and its two faces: OpenAI's error object and RFC 9457 problem details."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from strongroom.errors import RequestRefused

_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_TITLES: Final = {
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

    def openai(self) -> dict[str, Any]:
        """The body that OpenAI's clients understand."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error: dict[str, Any] = {
            "message": self.sentence,
            "type": _KINDS.get(self.status, kind),
            "param": self.param,
            "code": self.code,
        }
        if self.rung is not None:
            error["rung"] = self.rung
        return {"error": error}

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 problem details. ``error`` repeats the sentence, as Open Inference wants."""
        details: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.sentence,
            "code": self.code,
            "error": self.message,
        }
        if self.param is not None:
            details["param"] = self.param
        if self.rung is not None:
            details["rung"] = self.rung
        return details


def encode_openai(refusal: Refusal) -> bytes:
    """OpenAI's error object as JSON."""
    return msgspec.json.encode(refusal.openai())


def encode_problem(refusal: Refusal) -> bytes:
    """The problem details as JSON."""
    return msgspec.json.encode(refusal.problem())
