"""Collect reports of NVIDIA GPUs through the driver's management library (NVML).

**Untested on hardware**: tested with recorded reports behind an injected library. The structures
and calls are those of ``nvml.h`` (``nvmlDeviceGetConfComputeGpuCertificate`` and
``nvmlDeviceGetConfComputeGpuAttestationReport``). NVSwitches need another library (NSCQ), and
their reports must be added by hand. Nothing here is believed: the verifier judges the result.
"""

from __future__ import annotations

import ctypes
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec

from strongroom.attest.bundle import Bundle
from strongroom.errors import EnvironmentLacks

LIBRARY = "libnvidia-ml.so.1"
NONCE = 32
SUCCESS = 0
MAX_GPUS = 32
ARCHITECTURES = {9: "HOPPER", 10: "BLACKWELL"}


class GpuCertificate(ctypes.Structure):
    """``nvmlConfComputeGpuCertificate_t``."""

    _fields_ = (
        ("certChainSize", ctypes.c_uint),
        ("attestationCertChainSize", ctypes.c_uint),
        ("certChain", ctypes.c_ubyte * 0x1000),
        ("attestationCertChain", ctypes.c_ubyte * 0x1400),
    )


class GpuAttestationReport(ctypes.Structure):
    """``nvmlConfComputeGpuAttestationReport_t``."""

    _fields_ = (
        ("isCecAttestationReportPresent", ctypes.c_uint),
        ("attestationReportSize", ctypes.c_uint),
        ("cecAttestationReportSize", ctypes.c_uint),
        ("nonce", ctypes.c_ubyte * NONCE),
        ("attestationReport", ctypes.c_ubyte * 0x2000),
        ("cecAttestationReport", ctypes.c_ubyte * 0x1000),
    )


def load() -> Any:
    """The driver's library.

    Raises:
        EnvironmentLacks: ``attest.nvml_missing``.
    """
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EnvironmentLacks(
            "attest.nvml_missing",
            "The NVIDIA driver's management library cannot be loaded.",
            action="Run this in the guest that the GPU is passed to, with its driver installed.",
        ) from error


class NvidiaCollector:
    """Asks every GPU of this machine for a report.

    Args:
        library: loads NVML; tests pass their own.
    """

    kind = "nvidia"

    def __init__(self, library: Callable[[], Any] = load) -> None:
        self._load = library

    def collect(self, report_data: bytes) -> Bundle:
        """A bundle with one report a GPU, without manifests.

        Args:
            report_data: the 32-byte nonce; see :func:`strongroom.attest.nvidia.nonce.gpu_nonce`.

        Raises:
            EnvironmentLacks: ``attest.nvml_missing`` or ``attest.nvml_failed``.
            ValueError: the nonce has not 32 bytes.
        """
        if len(report_data) != NONCE:
            raise ValueError("a GPU's nonce has 32 bytes")
        library = self._load()
        _call(library, "nvmlInit_v2")
        try:
            count = ctypes.c_uint()
            _call(library, "nvmlDeviceGetCount_v2", ctypes.byref(count))
            if count.value > MAX_GPUS:
                raise _failed("nvmlDeviceGetCount_v2")
            items = [_device(library, index, report_data) for index in range(count.value)]
        finally:
            library.nvmlShutdown()
        return Bundle(kind=self.kind, evidence={"devices": msgspec.json.encode(items)})


def _device(library: Any, index: int, nonce: bytes) -> dict[str, str]:
    handle, architecture = ctypes.c_void_p(), ctypes.c_uint()
    _call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
    _call(library, "nvmlDeviceGetArchitecture", handle, ctypes.byref(architecture))
    certificate, report = GpuCertificate(), GpuAttestationReport()
    _call(library, "nvmlDeviceGetConfComputeGpuCertificate", handle, ctypes.byref(certificate))
    report.nonce[:] = nonce
    _call(library, "nvmlDeviceGetConfComputeGpuAttestationReport", handle, ctypes.byref(report))
    chain = _part(certificate.attestationCertChain, certificate.attestationCertChainSize)
    return {
        "arch": ARCHITECTURES.get(architecture.value, str(architecture.value)),
        "certificate": b64encode(chain).decode("ascii"),
        "evidence": b64encode(_part(report.attestationReport, report.attestationReportSize)).decode(
            "ascii"
        ),
        "nonce": nonce.hex(),
    }


def _part(array: Any, size: int) -> bytes:
    """The first ``size`` bytes, if the library did not announce more than there is room for."""
    if size > len(array):
        raise _failed("a structure's size")
    return bytes(array[:size])


def _call(library: Any, name: str, *arguments: Any) -> None:
    if getattr(library, name)(*arguments) != SUCCESS:
        raise _failed(name)


def _failed(what: str) -> EnvironmentLacks:
    return EnvironmentLacks(
        "attest.nvml_failed",
        f"The NVIDIA driver's management library failed at {what}.",
        action="Switch confidential computing on for the GPU, and look at the driver's log.",
    )
