"""Read the forms in which NVIDIA evidence is handed over, and bind it to the CPU's evidence.

Collectors write a JSON list of objects with ``arch``, ``evidence`` (base64 of the report),
``certificate`` (base64 of the PEM chain) and ``nonce`` (hex; ignored here, since the verifier
brings its own). Some write the report as a line of hex.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from strongroom.attest.interface import refusal
from strongroom.attest.nvidia.device import DeviceEvidence
from strongroom.attest.nvidia.reasons import REASONS

MAX_DEVICES = 32
MAX_TEXT = 1024 * 1024
MAX_REPORT = 16 * 1024


class _Item(msgspec.Struct, frozen=True):
    arch: str
    evidence: str
    certificate: str


def read_devices(data: bytes) -> tuple[DeviceEvidence, ...]:
    """Read the JSON list of a collector (at most 1 MiB and 32 devices).

    Raises:
        AttestationRefused: ``attest.nvidia_evidence``.
    """
    if len(data) > MAX_TEXT:
        raise refusal(REASONS, "attest.nvidia_evidence")
    try:
        items = msgspec.json.decode(data, type=list[_Item])
        devices = tuple(
            DeviceEvidence(item.arch, _decode(item.evidence), _decode(item.certificate))
            for item in items
        )
    except (ValueError, RecursionError) as error:
        raise refusal(REASONS, "attest.nvidia_evidence") from error
    too_large = any(len(device.report) > MAX_REPORT for device in devices)
    if len(devices) > MAX_DEVICES or too_large:
        raise refusal(REASONS, "attest.nvidia_evidence")
    return devices


def read_hex(text: bytes) -> bytes:
    """The report that a line of hex stands for.

    Some collectors count the terminating zero of the driver's buffer into the line: a last zero
    byte, one, after what the report's own lengths announce is dropped here. In binary forms, and
    with any other value, it stays and is refused by the verifier.

    Raises:
        AttestationRefused: ``attest.nvidia_evidence``.
    """
    try:
        report = binascii.unhexlify(text.strip())
    except binascii.Error as error:
        raise refusal(REASONS, "attest.nvidia_evidence") from error
    if len(report) > MAX_REPORT:
        raise refusal(REASONS, "attest.nvidia_evidence")
    record = int.from_bytes(report[42:45], "little")
    opaque_at = 37 + 8 + record + 32
    opaque = int.from_bytes(report[opaque_at : opaque_at + 2], "little")
    announced = opaque_at + 2 + opaque + 96
    return report[:-1] if len(report) == announced + 1 and report[-1] == 0 else report


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
