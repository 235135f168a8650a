"""Who asks: step 3 of every request.

1. With client certificates listed, the certificate of the connection stands for somebody or the
   request is refused.
2. An ``Authorization`` header holds an API key or, where an issuer is trusted, a token of it.
3. If there is both, both belong to one organisation; the header says who asks.
4. If there is only a certificate, it says who asks. If there is neither, nobody does.
"""

from __future__ import annotations

from typing import Final

from strongroom.errors import EnvironmentLacks
from strongroom.gateway.api_keys import Authenticator, invalid_key
from strongroom.gateway.client_certificates import CertificateAuthenticator
from strongroom.gateway.directory import Directory, NotHere
from strongroom.gateway.http import Request
from strongroom.gateway.identity import Caller
from strongroom.gateway.jwt_identity import JwtAuthenticator

_MOST_LOOKS: Final = 12
"""A key and two organisations, each read again if the store changed meanwhile."""


class Admission:
    """Identifies callers.

    Args:
        keys: who knows the API keys.
        tokens: who knows the tokens of an issuer.
        certificates: whom client certificates stand for.
        directory: where all of them look callers up.
    """

    def __init__(
        self,
        keys: Authenticator,
        tokens: JwtAuthenticator | None,
        certificates: CertificateAuthenticator | None,
        directory: Directory,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._certificates = certificates
        self._directory = directory

    async def identify(self, request: Request) -> Caller:
        """The caller; 401 ``gateway.invalid_api_key`` without one.

        Raises:
            StrongroomError: ``store.unavailable``.
        """
        for _ in range(_MOST_LOOKS):
            try:
                return self._identify(request)
            except NotHere as missing:
                await self._directory.fetch(missing.place)
        raise EnvironmentLacks(
            "store.unavailable",
            "The store of identities changes faster than it can be read.",
            action="Try again.",
        )

    def _identify(self, request: Request) -> Caller:
        header = request.header(b"authorization")
        if self._certificates is None:
            return self._by_header(header)
        certificate = request.line.certificate
        if certificate is None:
            raise invalid_key()
        caller = self._certificates.authenticate(certificate)
        if header is None:
            return caller
        asking = self._by_header(header)
        if asking.organisation != caller.organisation:
            raise invalid_key()
        return asking

    def _by_header(self, header: str | None) -> Caller:
        scheme, _, token = (header or "").partition(" ")
        if self._tokens is not None and scheme.lower() == "bearer" and token.count(".") == 2:
            return self._tokens.authenticate(token.strip())
        return self._keys.authenticate(header)
