"""The workload's side of evidence where no hardware vouches for it: the word of its software.

What that is worth, and how it is judged, stands in ``strongroom.attest.local``; ``hardware`` has
the side of machines that have more.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from pathlib import Path
from typing import Protocol

import msgspec

import strongroom
from strongroom.attest.local import REPORT_BYTES, LocalEvidence
from strongroom.errors import EnvironmentLacks

_MEASURE_LABEL = b"strongroom installation v1\0"


class Attester(Protocol):
    """Whoever can produce evidence of one kind about the running workload."""

    @property
    def kind(self) -> str:
        """The kind of the guest's evidence."""

    def devices(self, nonce: bytes) -> bytes:
        """Encoded evidence of the devices, that answers ``nonce`` (32 bytes); empty if none."""

    def attest(self, report_data: bytes) -> bytes:
        """Encoded evidence of the guest that commits to ``report_data`` (64 bytes)."""


class LocalAttester:
    """Produces local evidence. Made once, it opens no file any more: a keeper renews with it behind
    its walls.

    Args:
        configuration: SHA-256 (hex) of the configuration that the process was started with.

    Raises:
        EnvironmentLacks: ``release.no_installation``.
    """

    kind = "local"

    def __init__(self, configuration: str) -> None:
        self._configuration = configuration
        self._code = running_measurement()
        self._kernel = f"{platform.system()} {platform.release()} {platform.machine()}"

    def devices(self, nonce: bytes) -> bytes:
        """None: nothing vouches for the path to them."""
        return b""

    def attest(self, report_data: bytes) -> bytes:
        """Say what was measured at the start, and who we are."""
        return msgspec.json.encode(
            LocalEvidence(
                code=self._code,
                configuration=self._configuration,
                kernel=self._kernel,
                pid=os.getpid(),
                report_data=report_data[:REPORT_BYTES],  # the rest are zeros
            )
        )


@cache
def running_measurement() -> str:
    """``measure_installation()`` of the running package, taken once in a process.

    Files that change after a process has loaded them are not what it runs.
    """
    return measure_installation(_package_folder())


def measure_installation(folder: Path) -> str:
    """SHA-256 (hex) over the installed package: every file's path and content, in order.

    Byte-code caches are left out: the interpreter writes them at will. Left out with them is an
    attacker who forges such a cache, one more reason why this is SOFTWARE-ONLY.

    Args:
        folder: the package's folder.
    """
    digest = hashlib.sha256(_MEASURE_LABEL)
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix().encode()
        digest.update(len(name).to_bytes(4, "big") + name)
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _package_folder() -> Path:
    if strongroom.__file__ is None:
        raise EnvironmentLacks(
            "release.no_installation",
            "The installed package has no folder that could be measured.",
            action="Install strongroom as files, not inside an archive.",
        )
    return Path(strongroom.__file__).parent
