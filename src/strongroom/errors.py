"""Every error that strongroom raises on purpose.

::

    StrongroomError
    ├── ArtifactRefused      a sealed model (or what should become one) is not acceptable
    ├── KeyRefused           a key is missing, wrong, or not granted
    ├── ConfigurationRefused a home, configuration file or argument cannot be used
    ├── EnvironmentLacks     the machine lacks something that was required (kernel, disk, limit)
    ├── BoundaryRefused      a frame between gateway and keeper broke the protocol
    ├── RequestRefused       a caller's request is not allowed
    ├── LedgerRefused        a log, checkpoint or proof is damaged or does not fit what was seen
    ├── AttestationRefused   evidence about a workload is not genuine or not acceptable
    └── ExposureRefused      an audit, attack or gate cannot run, or a gate's limit is exceeded

Each carries a stable ``code`` (``room.reason``), one sentence saying what happened, and one
saying what to do. Neither may contain a secret: errors are printed, logged and sent to clients.
The exit code of the command line follows from the class.
"""

from __future__ import annotations

from typing import ClassVar


class StrongroomError(Exception):
    """Base of all deliberate errors.

    Args:
        code: stable identifier such as ``artifact.segment_altered``; scripts may rely on it.
        message: one sentence, what happened.
        action: one sentence, what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, action: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.action = action

    def __str__(self) -> str:
        return f"{self.message} [{self.code}] {self.action}"


class ArtifactRefused(StrongroomError):
    """A sealed model, or the folder that should become one, is not acceptable."""

    exit_code: ClassVar[int] = 3


class KeyRefused(StrongroomError):
    """A key is missing, wrong, or was not granted."""

    exit_code: ClassVar[int] = 4


class ConfigurationRefused(StrongroomError):
    """A home, configuration file or argument cannot be used."""

    exit_code: ClassVar[int] = 5


class EnvironmentLacks(StrongroomError):
    """The machine lacks something that the operation needs or the policy requires."""

    exit_code: ClassVar[int] = 6


class BoundaryRefused(StrongroomError):
    """A frame between gateway and keeper broke the protocol; the connection is closed."""

    exit_code: ClassVar[int] = 7


class RequestRefused(StrongroomError):
    """A caller's request is not allowed; nothing was computed for it."""

    exit_code: ClassVar[int] = 8


class LedgerRefused(StrongroomError):
    """A log, checkpoint or proof is damaged, or does not continue what was seen before."""

    exit_code: ClassVar[int] = 9


class AttestationRefused(StrongroomError):
    """Evidence about a workload is not genuine, or not acceptable."""

    exit_code: ClassVar[int] = 10


class ExposureRefused(StrongroomError):
    """An audit, attack or gate cannot run as asked, or a gate's limit is exceeded."""

    exit_code: ClassVar[int] = 11
