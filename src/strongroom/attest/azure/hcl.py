"""The framing of an HCL report: header, hardware report, header of the claims, claims, zeros.

All numbers are 32 bits, low byte first.
"""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SIGNATURE = b"HCLA"
HARDWARE_REPORT = 1184
MAX_LENGTH = 64 * 1024
SNP, SHA256 = 2, 1
_HEADER = struct.Struct("<4sIIII12x")
_CLAIMS = struct.Struct("<IIIII")


@dataclass(frozen=True, slots=True)
class HclReport:
    """The parts of an HCL report; ``runtime`` are the claims' bytes as they were hashed."""

    hardware_report: bytes
    report_type: int
    hash_type: int
    runtime: bytes


class Key(msgspec.Struct, frozen=True):
    """A key of the claims (RFC 7517); members that are not needed are passed over."""

    kid: str
    kty: str = ""
    key_ops: tuple[str, ...] = ()
    n: str = ""
    e: str = ""

    def public(self) -> bytes:
        """SubjectPublicKeyInfo in DER.

        Raises:
            ValueError: it is no RSA key.
        """
        if self.kty != "RSA":
            raise ValueError("not RSA")
        modulus, exponent = (int.from_bytes(_octets(text)) for text in (self.n, self.e))
        key = RSAPublicNumbers(exponent, modulus).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class Configuration(msgspec.Struct, frozen=True, rename="kebab"):
    """What the claims say about the VM; what is absent counts as the worse."""

    secure_boot: bool = False
    console_enabled: bool = True
    tpm_enabled: bool = False


class Claims(msgspec.Struct, frozen=True, rename="kebab"):
    """The runtime claims. The paravisor wrote them and the hardware signed their digest."""

    keys: tuple[Key, ...]
    vm_configuration: Configuration = Configuration()
    user_data: str = ""


def parse(raw: bytes) -> HclReport:
    """Cut an HCL report into its parts; only zeros may stand behind the claims.

    Raises:
        ValueError: it is not framed like one.
    """
    start = _HEADER.size + HARDWARE_REPORT
    if not start + _CLAIMS.size <= len(raw) <= MAX_LENGTH:
        raise ValueError("length")
    signature, version, length, request, status = _HEADER.unpack_from(raw)
    size, claims_version, report_type, hash_type, count = _CLAIMS.unpack_from(raw, start)
    begin = start + _CLAIMS.size
    if (signature, version in (1, 2), request, status) != (SIGNATURE, True, 2, 0):
        raise ValueError("header")
    if any(raw[20 : _HEADER.size]) or claims_version != 1 or size != _CLAIMS.size + count:
        raise ValueError("header of the claims")
    if length != begin + count or length > len(raw) or any(raw[length:]):
        raise ValueError("length of the claims")
    hardware = raw[_HEADER.size : start]
    return HclReport(hardware, report_type, hash_type, raw[begin:length])


def read_claims(runtime: bytes) -> Claims:
    """The claims in the runtime data.

    Raises:
        ValueError: they are no such JSON.
    """
    try:
        return msgspec.json.decode(runtime, type=Claims)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("claims") from error


def _octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
