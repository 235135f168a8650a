"""Collect an SNP report through ``/dev/sev-guest`` (Linux 5.19 and later).

**Untested on hardware**: tested with recorded reports behind an injected ``ioctl``. Requests and
structures are those of ``linux/sev-guest.h``; the response is MSG_REPORT_RSP of the SEV-SNP
firmware ABI (revision 1.55, table 23). Nothing here is believed: the verifier judges it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from strongroom.attest.bundle import Bundle
from strongroom.attest.collect import certificate_table
from strongroom.errors import EnvironmentLacks

DEVICE = Path("/dev/sev-guest")
INPUT, REPORT = 64, 1184
GET_REPORT, GET_EXT_REPORT = 0xC0205300, 0xC0205302  # _IOWR('S', 0 and 2, 32 bytes)
CERTIFICATES = 0x4000
RESPONSE = 4000
_REQUEST = struct.Struct("<64sI28x")
_GUEST = struct.Struct("<B7xQQQ")

Ioctl = Callable[[int, int, bytearray], int]


@dataclass(frozen=True, slots=True)
class SevGuestCollector:
    """Collects at ``vmpl``; with ``certificates``, those that the host provides come along."""

    vmpl: int = 0
    certificates: bool = True
    device: Path = DEVICE
    ioctl: Ioctl = fcntl.ioctl

    @property
    def kind(self) -> str:
        """The kind of evidence: ``snp``."""
        return "snp"

    def collect(self, report_data: bytes) -> Bundle:
        """A bundle whose report carries ``report_data``, 64 bytes.

        Raises:
            EnvironmentLacks: ``attest.sev_guest_missing`` or ``attest.sev_guest_failed``.
            ValueError: the input has not 64 bytes.
        """
        if len(report_data) != INPUT:
            raise ValueError("an SNP report takes 64 bytes")
        descriptor = self._open()
        try:
            report, table = self._ask(descriptor, report_data)
            certificates = certificate_table.read(table)
        except (OSError, ValueError) as error:
            raise EnvironmentLacks(
                "attest.sev_guest_failed",
                "The SNP firmware gave no report.",
                action="See the kernel's log, and check that the guest may ask at this VMPL.",
            ) from error
        finally:
            os.close(descriptor)
        return Bundle(kind="snp", evidence={"report": report}, certificates=certificates)

    def _open(self) -> int:
        try:
            return os.open(self.device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentLacks(
                "attest.sev_guest_missing",
                f"{self.device} cannot be opened.",
                action="Run as root in an SNP guest with the driver sev-guest.",
            ) from error

    def _ask(self, descriptor: int, report_data: bytes) -> tuple[bytes, bytes]:
        """The report and the host's table, if it is wanted."""
        table = ctypes.create_string_buffer(CERTIFICATES)
        asked = _REQUEST.pack(report_data, self.vmpl)
        if self.certificates:
            asked += struct.pack("<QI4x", ctypes.addressof(table), CERTIFICATES)
        request = ctypes.create_string_buffer(asked, len(asked))
        response = ctypes.create_string_buffer(RESPONSE)
        addresses = ctypes.addressof(request), ctypes.addressof(response)
        call = bytearray(_GUEST.pack(1, *addresses, 0))
        number = GET_EXT_REPORT if self.certificates else GET_REPORT
        self.ioctl(descriptor, number, call)
        status, size = struct.unpack_from("<II", response)
        if status != 0 or size != REPORT or _GUEST.unpack(call)[3] != 0:
            raise ValueError(f"firmware status {status}")
        return response.raw[32 : 32 + REPORT], table.raw if self.certificates else b""
