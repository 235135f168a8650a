"""Who asks: step 3 of every request."""

from __future__ import annotations

from strongroom.gateway.api_keys import Authenticator
from strongroom.gateway.http import Request
from strongroom.gateway.identity import Caller


class Admission:
    """Identifies callers.

    Args:
        authenticator: who knows the API keys.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def identify(self, request: Request) -> Caller:
        """The caller; 401 without a usable key."""
        return self._authenticator.authenticate(request.header(b"authorization"))
