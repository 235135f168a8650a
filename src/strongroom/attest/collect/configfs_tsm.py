"""Collect a TDX quote or an SNP report through the kernel's configfs-tsm (Linux 6.7 and later).

**Untested on hardware**: tested with recorded blobs behind a simulated configfs. The interface is
that of the kernel's ``Documentation/ABI/testing/configfs-tsm``: a folder made below ``report`` is
a request; ``inblob`` takes 64 bytes, ``outblob`` gives the report, ``auxblob`` what belongs to it,
``provider`` says whose it is, and ``generation`` grows with each write, so that a report which
answers another process's input is noticed. Nothing here is believed: the verifier judges it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from strongroom.attest.bundle import Bundle
from strongroom.attest.collect import certificate_table
from strongroom.errors import EnvironmentLacks

REPORTS = Path("/sys/kernel/config/tsm/report")
INPUT = 64
SNP_REPORT = 1184
KINDS = {"tdx_guest": "tdx", "sev_guest": "snp"}


class Files(Protocol):
    """The four operations on configfs, so that tests can stand in for the kernel."""

    def make(self, path: Path) -> None:
        """Make a folder."""

    def write(self, path: Path, content: bytes) -> None:
        """Write an attribute in one write."""

    def read(self, path: Path) -> bytes:
        """Read an attribute to its end."""

    def remove(self, path: Path) -> None:
        """Remove a folder."""


class Configfs:
    """The real ones."""

    def make(self, path: Path) -> None:
        """Make a folder, which the kernel fills with attributes."""
        path.mkdir()

    def write(self, path: Path, content: bytes) -> None:
        """Write without a buffer: each write counts in ``generation``."""
        with path.open("wb", buffering=0) as file:
            if file.write(content) != len(content):
                raise OSError("the attribute took a part only")

    def read(self, path: Path) -> bytes:
        """Read an attribute to its end."""
        return path.read_bytes()

    def remove(self, path: Path) -> None:
        """Remove a request; its attributes go with it."""
        path.rmdir()


CONFIGFS = Configfs()


@dataclass(frozen=True, slots=True)
class TsmCollector:
    """Collects from whichever TEE the kernel found; ``kind`` must say which one is meant.

    ``kind`` is ``tdx`` or ``snp``. A TDX bundle has no collateral yet, an SNP one the certificates
    that the host provides, if any; ``strongroom attest bundle`` adds the rest.
    """

    kind: str
    reports: Path = REPORTS
    files: Files = CONFIGFS
    name: Callable[[], str] = lambda: f"strongroom-{os.getpid()}-{secrets.token_hex(8)}"

    def collect(self, report_data: bytes) -> Bundle:
        """A bundle whose report carries ``report_data``, 64 bytes.

        Raises:
            EnvironmentLacks: ``attest.tsm_missing``, ``attest.tsm_failed``,
                ``attest.tsm_provider`` or ``attest.tsm_conflict``.
            ValueError: the input has not 64 bytes.
        """
        if len(report_data) != INPUT:
            raise ValueError("configfs-tsm takes 64 bytes")
        try:
            with self._request() as request:
                return self._bundle(*self._report(request, report_data))
        except (OSError, ValueError) as error:
            raise EnvironmentLacks(
                "attest.tsm_failed",
                "The kernel gave no report through configfs-tsm.",
                action="See the kernel's log; for TDX, check that the host's quote service runs.",
            ) from error

    @contextmanager
    def _request(self) -> Iterator[Path]:
        path = self.reports / self.name()
        try:
            self.files.make(path)
        except OSError as error:
            raise EnvironmentLacks(
                "attest.tsm_missing",
                "This machine offers no configfs-tsm, or this user may not use it.",
                action="Run in a TDX or SNP guest, on Linux 6.7 or later, with configfs mounted.",
            ) from error
        try:
            yield path
        finally:
            with suppress(OSError):
                self.files.remove(path)

    def _report(self, request: Path, report_data: bytes) -> tuple[bytes, bytes]:
        provider = self.files.read(request / "provider").decode("ascii").strip()
        if KINDS.get(provider) != self.kind:
            raise EnvironmentLacks(
                "attest.tsm_provider",
                "The kernel's provider of reports is that of another TEE.",
                action="Ask for the kind of evidence that this machine's TEE gives.",
            )
        before = self._generation(request)
        self.files.write(request / "inblob", report_data)
        report = self.files.read(request / "outblob")
        extra = self._extra(request)
        if self._generation(request) != before + 1:
            raise EnvironmentLacks(
                "attest.tsm_conflict",
                "Another process wrote to the request while its report was read.",
                action="Collect again; if it recurs, find out who else writes there.",
            )
        return report, extra

    def _generation(self, request: Path) -> int:
        return int(self.files.read(request / "generation"))

    def _extra(self, request: Path) -> bytes:
        """What the provider adds; not every one does."""
        try:
            return self.files.read(request / "auxblob")
        except FileNotFoundError:
            return b""

    def _bundle(self, report: bytes, extra: bytes) -> Bundle:
        if self.kind == "tdx":
            return Bundle(kind="tdx", evidence={"quote": report})
        if len(report) != SNP_REPORT:
            raise ValueError("not an SNP report")
        certificates = certificate_table.read(extra)
        return Bundle(kind="snp", evidence={"report": report}, certificates=certificates)
