"""Client certificates as identity: which organisation a certificate stands for (mutual TLS).

TLS has verified that the certificate comes from an authority in ``client_ca`` and that the caller
has its key. Here it is looked up:

1. by the SHA-256 of the certificate, or by one of its alternative names (a DNS name or a URI, such
   as a SPIFFE id), compared as a whole: no wildcard, no common name;
2. entries that lead to different organisations contradict each other: refused;
3. it is in force now, which on a connection that is kept open may have changed since the handshake.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from cryptography import x509
from msgspec import Meta

from strongroom.gateway.api_keys import CACHE_SECONDS, invalid_key
from strongroom.gateway.directory import Lookups
from strongroom.gateway.identity import Caller, caller_of
from strongroom.store.interface import ALL_SCOPES, Scope
from strongroom.store.limits import UNLIMITED, Limits

_CACHED: Final = 10_000
_Text = Annotated[str, Meta(min_length=1, max_length=1024)]


class ClientCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Certificates that stand for an organisation, by ``sha256`` (64 hex digits) or ``name``.

    ``name`` is ``dns:host`` (lower case) or ``uri:URI``. ``limits`` are those of each certificate,
    below its organisation's.
    """

    organisation: _Text
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")] | None = None
    name: (
        Annotated[str, Meta(max_length=1024, pattern=r"^(dns:[^\sA-Z*]+|uri:[^\s*]+)$")] | None
    ) = None
    scopes: frozenset[Scope] = ALL_SCOPES
    limits: Limits = UNLIMITED

    def __post_init__(self) -> None:
        if (self.sha256 is None) == (self.name is None):
            raise ValueError("a client certificate is named by either sha256 or name")


def certificate_of(transport: asyncio.BaseTransport) -> bytes | None:
    """The verified certificate of the other end in DER; ``None`` without TLS or certificate."""
    tls = transport.get_extra_info("ssl_object")
    return None if tls is None else tls.getpeercert(binary_form=True)


class CertificateAuthenticator:
    """Says whom a client certificate stands for."""

    def __init__(self, store: Lookups, listed: tuple[ClientCertificate, ...]) -> None:
        self._store = store
        self._listed = listed
        self._cache: dict[bytes, tuple[float, Caller]] = {}

    def authenticate(self, certificate: bytes) -> Caller:
        """Whom this certificate (DER) stands for.

        Raises:
            Refusal: 401 ``gateway.invalid_api_key``.
            StrongroomError: ``store.unavailable``.
        """
        digest = hashlib.sha256(certificate).digest()
        trusted_until, caller = self._cache.get(digest, (0.0, None))
        if caller is not None and time.monotonic() < trusted_until:
            return caller
        caller = self._look_up(certificate, digest.hex())
        if len(self._cache) >= _CACHED:
            self._cache.clear()
        self._cache[digest] = (time.monotonic() + CACHE_SECONDS, caller)
        return caller

    def _look_up(self, certificate: bytes, sha256: str) -> Caller:
        try:
            parsed = x509.load_der_x509_certificate(certificate)
            names = _names(parsed)
            in_force = (
                parsed.not_valid_before_utc <= datetime.now(UTC) <= parsed.not_valid_after_utc
            )
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            raise invalid_key() from None
        found = [
            each for each in self._listed if each.sha256 == sha256 or (each.name or "") in names
        ]
        if not in_force or len({each.organisation for each in found}) != 1:  # (2), (3)
            raise invalid_key()
        entry = found[0]
        organisation = self._store.organisation(entry.organisation)
        if organisation is None:
            raise invalid_key()
        return caller_of(f"cert:{sha256[:32]}", organisation, entry.scopes, entry.limits)


def _names(certificate: x509.Certificate) -> set[str]:
    """Alternative names as ``ClientCertificate.name`` has them; DNS names in lower case."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    hosts = {f"dns:{name.lower()}" for name in names.get_values_for_type(x509.DNSName)}
    return hosts | {
        f"uri:{name}" for name in names.get_values_for_type(x509.UniformResourceIdentifier)
    }
