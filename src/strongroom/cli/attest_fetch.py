"""One GET, bounded: the only place where anything about attestation touches a network.

Nothing that is fetched is trusted for where it came from: whatever it is, the pinned root of its
maker judges it when the bundle is verified. What must not happen is that an answer costs memory or
time without end, or that a redirection leads elsewhere.

1. https; http only to this machine (``localhost`` or a loopback address).
2. No redirection is followed.
3. At most ``MAX_ANSWER`` bytes, in ``TIMEOUT_S`` seconds for all of it.
"""

from __future__ import annotations

import ipaddress
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import IO

from strongroom.errors import EnvironmentLacks

MAX_ANSWER = 1024 * 1024
MAX_HEADER = 16 * 1024
TIMEOUT_S = 30.0
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer's body, and its one header that was asked for, URL-decoded (empty if absent)."""

    body: bytes
    header: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: Message, newurl: str,
    ) -> None:  # fmt: skip
        return None


def fetch(address: str, header: str = "") -> Fetched:
    """The answer to one GET.

    Args:
        address: what to ask.
        header: a header of the answer that carries a certificate chain, URL-encoded.

    Raises:
        EnvironmentLacks: ``cli.attest_fetch``.
    """
    if not _is_allowed(address):
        raise not_fetched(address)
    deadline = time.monotonic() + TIMEOUT_S
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(address, timeout=TIMEOUT_S) as answer:
            body = bytearray()
            while part := answer.read1(_CHUNK):
                body += part
                if len(body) > MAX_ANSWER or time.monotonic() > deadline:
                    raise not_fetched(address)
            chain = (answer.headers.get(header) or "") if header else ""
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        raise not_fetched(address) from error
    decoded = urllib.parse.unquote_to_bytes(chain)
    if not body or len(decoded) > MAX_HEADER or (header and not decoded):
        raise not_fetched(address)
    return Fetched(bytes(body), decoded)


def not_fetched(address: str) -> EnvironmentLacks:
    """That an answer did not come, or cannot be what was asked for."""
    return EnvironmentLacks(
        "cli.attest_fetch",
        f"No usable answer came from {address}.",
        action="Check the network, or pass the files with --certificate, --crl and --collateral.",
    )


def _is_allowed(address: str) -> bool:
    """Rule 1."""
    try:
        parts = urllib.parse.urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return parts.scheme == "http" and local
