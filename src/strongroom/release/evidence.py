"""The workload's side of evidence. Today one kind: ``local``, the word of this machine's software.

What local evidence is worth, and how it is judged, stands in ``strongroom.attest.local``.
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
from strongroom.attest.local import LocalEvidence
from strongroom.errors import EnvironmentLacks

_MEASURE_LABEL = b"strongroom installation v1\0"


class Attester(Protocol):
    """Whoever can produce evidence of one kind about the running workload."""

    kind: str

    def attest(self, report_data: bytes) -> bytes:
        """Encoded evidence that commits to ``report_data`` (48 bytes)."""


class LocalAttester:
    """Produces local evidence.

    Args:
        configuration: SHA-256 (hex) of the configuration that the process was started with.
    """

    kind = "local"

    def __init__(self, configuration: str) -> None:
        self._configuration = configuration

    def attest(self, report_data: bytes) -> bytes:
        """Measure the installation and say who we are."""
        return msgspec.json.encode(
            LocalEvidence(
                code=running_measurement(),
                configuration=self._configuration,
                kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
                pid=os.getpid(),
                report_data=report_data,
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
