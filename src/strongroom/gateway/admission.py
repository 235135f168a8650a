"""The first steps of every request: who asks, and how much.

Limits, quotas and the record stand between these steps and the keeper; each is one more line in
the lists of steps that the routes follow.
"""

from __future__ import annotations

from strongroom.gateway.api_keys import Authenticator
from strongroom.gateway.http import Request
from strongroom.gateway.identity import Caller


class Admission:
    """Reads and identifies. The head of the request was bounded by the HTTP protocol.

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

    def identify(self, request: Request) -> Caller:
        """The caller's key; 401 without a usable one."""
        return self._authenticator.authenticate(request.header(b"authorization"))

    async def admit(self, request: Request) -> tuple[Caller, bytes]:
        """The caller's key and the body: read first, so that the answer reaches the caller."""
        body = await request.body(self._max_body_bytes, self._body_seconds)
        return self.identify(request), body
