"""Certificate chains in canonical PEM, ending in a root that is pinned by its SHA-256.

A chain is read to DER and written again; where the two texts differ by a single byte it is
refused. So no two texts stand for one chain, and a changed newline is a refusal.
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from dataclasses import dataclass
from functools import lru_cache

from strongroom.attest import certificates
from strongroom.attest.dcap.reasons import CHAIN
from strongroom.attest.interface import CertificateDates, refusal

MAX_CHAIN = 16 * 1024
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, read but not verified."""

    der: bytes
    name: str
    serial: int
    dates: CertificateDates

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER form, in hex."""
        return hashlib.sha256(self.der).hexdigest()


@lru_cache(maxsize=256)
def read_chain(text: bytes, length: int) -> tuple[Certificate, ...]:
    """Exactly ``length`` certificates, leaf first; the newline at the very end may be missing.

    Raises:
        EvidenceRefused: ``attest.dcap_chain_encoding``.
    """
    try:
        if len(text) > MAX_CHAIN:
            raise ValueError("too long")
        lines = text.decode("ascii")
        ders = [_body(part) for part in lines.split(BEGIN)[1:]]
        written = "".join(map(write, ders))
        if len(ders) != length or lines not in {written, written.removesuffix("\n")}:
            raise ValueError("not canonical")
        return tuple(_read(der) for der in ders)
    except ValueError as error:
        raise refusal(CHAIN, "attest.dcap_chain_encoding") from error


def write(der: bytes) -> str:
    """The one PEM form that is accepted: 64 characters a line, a newline after every line."""
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"{BEGIN}\n{body}\n{END}\n"


def _body(part: str) -> bytes:
    return base64.b64decode("".join(part.partition(END)[0].split("\n")), validate=True)


def _read(der: bytes) -> Certificate:
    found = certificates.read(der)
    return Certificate(der, found.common_name, found.serial, found.dates)
