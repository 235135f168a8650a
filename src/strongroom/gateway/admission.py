"""The first steps of every request: who asks, and is the body acceptable at all.

Limits, quotas and the record stand between these steps and the keeper; each is one more line in
the lists of steps that the routes follow.
"""

from __future__ import annotations

from typing import Any

from strongroom.gateway.api_keys import Authenticator
from strongroom.gateway.http import Request
from strongroom.gateway.strict_json import parse_object
from strongroom.store.interface import KeyRecord


class Admission:
    """Reads, identifies and parses. The head of the request was bounded by the HTTP protocol.

    Args:
        authenticator: who knows the API keys.
        max_body_bytes: largest body.
        body_seconds: longest time for a body to arrive.
    """

    def __init__(
        self, authenticator: Authenticator, max_body_bytes: int, body_seconds: float
    ) -> None:
        self._authenticator = authenticator
        self._max_body_bytes = max_body_bytes
        self._body_seconds = body_seconds

    def identify(self, request: Request) -> KeyRecord:
        """The caller's key; 401 without a usable one."""
        return self._authenticator.authenticate(request.header(b"authorization"))

    async def admit(self, request: Request) -> tuple[KeyRecord, dict[str, Any]]:
        """Body, key, strict JSON, in this order; the first that fails refuses the request."""
        body = await request.body(self._max_body_bytes, self._body_seconds)
        key = self.identify(request)
        return key, parse_object(body)
