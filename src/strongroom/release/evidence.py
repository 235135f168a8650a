"""Evidence about a workload. Today one kind: ``local``, the word of this machine's software.

Local evidence is SOFTWARE-ONLY. It tells which code and configuration a process says it runs; what
stands behind it is the kernel's statement who sent it, not hardware. Root, or another process of
the same user that imitates the keeper, can produce it.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

import strongroom
from strongroom.errors import EnvironmentLacks
from strongroom.release.binding import REPORT_BYTES
from strongroom.release.messages import Digest

_MEASURE_LABEL = b"strongroom installation v1\0"


class LocalEvidence(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="local"
):
    """What a workload without a TEE says of itself.

    ``code`` is ``running_measurement()``, ``configuration`` the SHA-256 of the configuration
    bytes that the process was started with, ``report_data`` binds both to one request.
    """

    code: Digest
    configuration: Digest
    kernel: Annotated[str, Meta(min_length=1, max_length=256)]
    pid: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    report_data: Annotated[bytes, Meta(min_length=REPORT_BYTES, max_length=REPORT_BYTES)]


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
