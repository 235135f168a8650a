"""Collect a TPM 2.0 quote with tpm2-tools.

Tested with swtpm; **untested on a hardware TPM**. tpm2-tools finds the TPM by its own settings
(``TPM2TOOLS_TCTI``; ``/dev/tpmrm0`` if unset). Nothing here is believed: the verifier judges it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.attest.bundle import Bundle
from strongroom.errors import EnvironmentLacks

FIRMWARE_LOG = Path("/sys/kernel/security/tpm0/binary_bios_measurements")
MAX_NONCE = 64
TIMEOUT = 60.0

Run = Callable[[Sequence[str]], None]


def run(command: Sequence[str]) -> None:
    """Run one of tpm2-tools.

    Raises:
        EnvironmentLacks: ``attest.tpm_tools_missing`` or ``attest.tpm_tools_failed``.
    """
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
    except FileNotFoundError as error:
        raise EnvironmentLacks(
            "attest.tpm_tools_missing",
            f"{command[0]} is not installed.",
            action="Install tpm2-tools.",
        ) from error
    except subprocess.SubprocessError as error:
        raise EnvironmentLacks(
            "attest.tpm_tools_failed",
            f"{command[0]} failed or did not end.",
            action="Check that the TPM is there and that this user may use it.",
        ) from error


@dataclass(frozen=True, slots=True)
class TpmCollector:
    """Quotes PCRs with an attestation key that exists already.

    ``ak`` is the key's handle or context file; ``certificates`` the chain of the key (or of the
    endorsement key, root last) and ``extra`` the parts that prove the credential, where the key is
    trusted by those; without certificates the bundle carries the bare key, to be pinned.
    """

    ak: str
    selection: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    certificates: tuple[bytes, ...] = ()
    extra: dict[str, bytes] = field(default_factory=dict)
    log: Path = FIRMWARE_LOG
    run: Run = run

    @property
    def kind(self) -> str:
        """The kind of evidence: ``tpm``."""
        return "tpm"

    def collect(self, report_data: bytes) -> Bundle:
        """A bundle with one quote whose extraData is ``report_data`` (1 to 64 bytes).

        Raises:
            EnvironmentLacks: ``attest.tpm_tools_missing`` or ``attest.tpm_tools_failed``.
            ValueError: the nonce has not 1 to 64 bytes.
        """
        if not 1 <= len(report_data) <= MAX_NONCE:
            raise ValueError("a quote's extraData has 1 to 64 bytes")
        with tempfile.TemporaryDirectory() as name:
            parts = self._quote(Path(name), report_data)
        if self.log.is_file():
            parts["log"] = self.log.read_bytes()
        return Bundle(
            kind=self.kind, evidence={**parts, **self.extra}, certificates=self.certificates
        )

    def _quote(self, folder: Path, nonce: bytes) -> dict[str, bytes]:
        files = {part: folder / part for part in ("message", "signature", "pcrs")}
        numbers = ",".join(str(number) for number in self.selection)
        self.run(
            [
                *("tpm2_quote", "-c", self.ak, "-l", f"sha256:{numbers}", "-q", nonce.hex()),
                *("-m", str(files["message"]), "-s", str(files["signature"])),
                *("-o", str(files["pcrs"]), "-F", "values", "-g", "sha256"),
            ]
        )
        if not self.certificates:
            files["ak"] = folder / "ak"
            self.run(["tpm2_readpublic", "-c", self.ak, "-f", "der", "-o", str(files["ak"])])
        return {part: path.read_bytes() for part, path in files.items()}
