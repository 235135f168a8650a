"""The layout of an attestation report (56860, table 23 "ATTESTATION_REPORT")."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

LENGTH = 1184
SIGNED = 0x2A0
VERSIONS = range(2, 6)
ECDSA_P384_SHA384 = 1
SIGNING_KEYS = {0: "VCEK", 1: "VLEK", 7: "NONE"}
_HEAD = struct.Struct("<IIQ16s16sII8sQII64s48s32s48s48s32s32s8s3B21x64s8s3Bx3Bx8s")


class Policy(IntFlag):
    """Bits of the guest's policy above its minimum ABI version (table 9)."""

    SMT = 1 << 16
    RESERVED_ONE = 1 << 17
    MIGRATION_AGENT = 1 << 18
    DEBUG = 1 << 19
    SINGLE_SOCKET = 1 << 20
    CXL = 1 << 21
    AES_256_XTS = 1 << 22
    RAPL_DISABLED = 1 << 23
    CIPHERTEXT_HIDING = 1 << 24
    PAGE_SWAP_DISABLED = 1 << 25


KNOWN_POLICY = 0xFFFF | sum(Policy)


class Platform(IntFlag):
    """Bits of PLATFORM_INFO (table 24) that an owner may demand, and the alias check."""

    SMT = 1 << 0
    TSME = 1 << 1
    ECC = 1 << 2
    RAPL_DISABLED = 1 << 3
    CIPHERTEXT_HIDING = 1 << 4
    ALIAS_CHECK_COMPLETE = 1 << 5


@dataclass(frozen=True, slots=True)
class Report:
    """A report's fields. TCB versions stay the eight bytes that they are; ``body`` was signed."""

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: bytes
    platform: int
    key_info: int
    reserved: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    family: int
    model: int
    stepping: int
    chip_id: bytes
    committed_tcb: bytes
    current_build: tuple[int, int, int]
    committed_build: tuple[int, int, int]
    launch_tcb: bytes
    body: bytes
    signature: bytes

    @property
    def author_key_enabled(self) -> bool:
        """Whether the owner's ID block was signed through an author key."""
        return bool(self.key_info & 1)

    @property
    def chip_key_masked(self) -> bool:
        """MASK_CHIP_KEY: the chip's own key, and with it the chip's id, is hidden."""
        return bool(self.key_info & 2)

    @property
    def signing_key(self) -> str:
        """``VCEK``, ``VLEK``, ``NONE``, or empty for a reserved number."""
        return SIGNING_KEYS.get(self.key_info >> 2 & 7, "")

    @property
    def signature_padding(self) -> bytes:
        """What stands in the signature's field beside r and s, 48 bytes each."""
        return self.signature[48:72] + self.signature[120:]

    def signature_der(self) -> bytes:
        """The signature as X9.62 writes it; the report holds r and s with the low byte first."""
        r, s = (int.from_bytes(self.signature[at : at + 48], "little") for at in (0, 72))
        return encode_dss_signature(r, s)


def parse(raw: bytes) -> Report:
    """Cut ``raw``, of 1184 bytes, into its fields; nothing is judged.

    Raises:
        ValueError: it has another length.
    """
    if len(raw) != LENGTH:
        raise ValueError("report length")
    fields = _HEAD.unpack_from(raw)
    builds = (tuple(fields[24:27]), tuple(fields[27:30]))
    return Report(*(*fields[:24], *builds, fields[30], raw[:SIGNED], raw[SIGNED:]))
