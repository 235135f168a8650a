"""The 1184 bytes of an SEV-SNP report that a guest's agent writes field by field, as JSON.

The bytes that are put together here are the ones that the verifier checks the signature over and
reads; nothing else of the JSON is believed. A field that is wrong or missing, or one of a newer
report that has no place here, makes other bytes than the processor signed, and so a refusal.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final

import msgspec
from msgspec import Meta

_U8 = Annotated[int, Meta(ge=0, le=0xFF)]
_U32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
_U64 = int  # msgspec has no bound above 2**63; struct refuses what does not fit
_Bytes = tuple[_U8, ...]

_BODY: Final = struct.Struct("<IIQ16s16sII8sQII64s48s32s48s48s32s32s8s3B21x64s8s4s4s8s")
_SIGNED_BYTES: Final = 0x2A0
_LENGTH: Final = 1184
_NUMBER_BYTES: Final = 72


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base: a field that is not known here has no place in the bytes."""


class Tcb(_Strict, frozen=True):
    """Versions of the platform's firmware. ``fmc`` is there on Turin alone."""

    bootloader: _U8
    tee: _U8
    snp: _U8
    microcode: _U8
    fmc: _U8 | None = None

    def encode(self) -> bytes:
        """The eight bytes, in the order of the product."""
        parts = (self.bootloader, self.tee)
        if self.fmc is not None:
            return bytes([self.fmc, *parts, self.snp, 0, 0, 0, self.microcode])
        return bytes([*parts, 0, 0, 0, 0, self.snp, self.microcode])


class Build(_Strict, frozen=True):
    """A version of the firmware."""

    major: _U8
    minor: _U8
    build: _U8

    def encode(self) -> bytes:
        """The four bytes."""
        return bytes([self.build, self.minor, self.major, 0])


class Signature(_Strict, frozen=True):
    """``r`` and ``s``, low byte first."""

    r: Annotated[_Bytes, Meta(min_length=_NUMBER_BYTES, max_length=_NUMBER_BYTES)]
    s: Annotated[_Bytes, Meta(min_length=_NUMBER_BYTES, max_length=_NUMBER_BYTES)]


class Fields(_Strict, frozen=True):
    """A report of version 2 to 4, by the names that guests use."""

    version: _U32
    guest_svn: _U32
    policy: _U64
    family_id: Annotated[_Bytes, Meta(min_length=16, max_length=16)]
    image_id: Annotated[_Bytes, Meta(min_length=16, max_length=16)]
    vmpl: _U32
    sig_algo: _U32
    current_tcb: Tcb
    plat_info: _U64
    key_info: _U32
    report_data: Annotated[_Bytes, Meta(min_length=64, max_length=64)]
    measurement: Annotated[_Bytes, Meta(min_length=48, max_length=48)]
    host_data: Annotated[_Bytes, Meta(min_length=32, max_length=32)]
    id_key_digest: Annotated[_Bytes, Meta(min_length=48, max_length=48)]
    author_key_digest: Annotated[_Bytes, Meta(min_length=48, max_length=48)]
    report_id: Annotated[_Bytes, Meta(min_length=32, max_length=32)]
    report_id_ma: Annotated[_Bytes, Meta(min_length=32, max_length=32)]
    reported_tcb: Tcb
    chip_id: Annotated[_Bytes, Meta(min_length=64, max_length=64)]
    committed_tcb: Tcb
    current: Build
    committed: Build
    launch_tcb: Tcb
    signature: Signature
    cpuid_fam_id: _U8 | None = None
    cpuid_mod_id: _U8 | None = None
    cpuid_step: _U8 | None = None

    def encode(self) -> bytes:
        """The report's bytes; ``struct.error`` if a number does not fit."""
        r = self
        body = _BODY.pack(
            r.version, r.guest_svn, r.policy, bytes(r.family_id), bytes(r.image_id), r.vmpl,
            r.sig_algo, r.current_tcb.encode(), r.plat_info, r.key_info, 0, bytes(r.report_data),
            bytes(r.measurement), bytes(r.host_data), bytes(r.id_key_digest),
            bytes(r.author_key_digest), bytes(r.report_id), bytes(r.report_id_ma),
            r.reported_tcb.encode(), r.cpuid_fam_id or 0, r.cpuid_mod_id or 0, r.cpuid_step or 0,
            bytes(r.chip_id), r.committed_tcb.encode(), r.current.encode(), r.committed.encode(),
            r.launch_tcb.encode(),
        )  # fmt: skip
        numbers = bytes(r.signature.r) + bytes(r.signature.s)
        return (body.ljust(_SIGNED_BYTES, b"\0") + numbers).ljust(_LENGTH, b"\0")
