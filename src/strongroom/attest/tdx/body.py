"""The fields of a TD report inside a quote. Source: Intel TDX Module ABI, TDREPORT_STRUCT."""

from __future__ import annotations

import struct
from dataclasses import dataclass

DEBUG = 1 << 0
PROFILING = 0b111 << 4
ICSSD = 1 << 16
LASS = 1 << 27
SEPT_VE_DISABLE = 1 << 28
MIGRATABLE = 1 << 29
PKS = 1 << 30
KEY_LOCKER = 1 << 31
TPA = 1 << 62
PERFMON = 1 << 63
KNOWN_ATTRIBUTES = (
    DEBUG
    | PROFILING
    | ICSSD
    | LASS
    | SEPT_VE_DISABLE
    | MIGRATABLE
    | PKS
    | KEY_LOCKER
    | TPA
    | PERFMON
)
#: x87 and SSE are always on; no bit outside the second may be (TDX module ABI, XFAM).
XFAM_ALWAYS, XFAM_POSSIBLE = 0x3, 0x6DBE7

_LAYOUT = struct.Struct("<16s48s48s8sQQ48s48s48s48s48s48s48s48s64s")


@dataclass(frozen=True, slots=True)
class TdReport:
    """A TD report; the last two fields are zero in version 1.0, which has none."""

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seam_attributes: bytes
    attributes: int
    xfam: int
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes
    tee_tcb_svn2: bytes = bytes(16)
    mrservicetd: bytes = bytes(48)

    @property
    def rtmrs(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four run-time measurement registers."""
        return self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3


def parse(body: bytes) -> TdReport:
    """The fields of a body of 584 or 648 bytes; `quote.parse` has seen to its length."""
    fields = _LAYOUT.unpack_from(body)
    tail = (body[584:600], body[600:648]) if len(body) == 648 else ()
    return TdReport(*fields, *tail)
