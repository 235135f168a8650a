"""Read the opaque fields of a report that a verdict rests on.

Field numbers as NVIDIA's attestation SDK publishes them. The values are signed by the device, and
mean what the device's firmware means by them; debug state is not among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from strongroom.attest.interface import Checks

DRIVER_VERSION = 3
VBIOS_VERSION = 6
NVDEC0 = 11
FWID = 20
PROTECTED_PCIE = 21
SWITCH_PDI = 22
SWITCH_GPU_PDIS = 26
FORMAT_VERSION = 34
FEATURE = 36

DISABLED, ENABLED = 0x55, 0xAA
PDI = 8
_VERSION = re.compile(rb"[0-9]{1,4}(?:\.[0-9]{1,4}){1,3}\0?")
_BIOS_TEXT = re.compile(rb"[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}\0?")

Mode = Literal["mpt", "spt", "ppcie", "unknown"]
_FEATURES: dict[bytes, Mode] = {b"\0\0": "mpt", b"\1\0": "spt", b"\2\0": "ppcie"}


@dataclass(frozen=True, slots=True)
class Fields:
    """What a device says about itself.

    ``driver`` is empty for an NVSwitch, ``fwid`` where the driver predates it. ``mode`` is
    ``mpt`` or ``spt`` (multi- and single-GPU pass-through), ``ppcie`` (protected PCIe) or
    ``unknown`` (drivers that do not say). ``skips_35`` is set when NVDEC0 is fused off. ``pdi``
    is a switch's own id; ``peers`` the ids of the switches a GPU, or the GPUs a switch, reaches.
    """

    driver: str
    vbios: str
    fwid: bytes
    mode: Mode
    skips_35: bool
    pdi: str
    peers: frozenset[str]


def read_gpu(opaque: Mapping[int, bytes], checks: Checks) -> Fields:
    """Read a GPU's fields.

    Raises:
        AttestationRefused: checks 6.1 and 6.2 of :mod:`.device`.
    """
    driver = opaque.get(DRIVER_VERSION, b"")
    vbios = opaque.get(VBIOS_VERSION, b"")
    nvdec = opaque.get(NVDEC0, b"")
    fwid = opaque.get(FWID, b"")
    peers = opaque.get(SWITCH_PDI, b"")
    checks.require(
        "6.1",
        "attest.nvidia_field",
        _VERSION.fullmatch(driver) is not None
        and len(vbios) == 8
        and vbios[5:] == bytes(3)
        and nvdec in (bytes([DISABLED]), bytes([ENABLED]))
        and len(fwid) in (0, 48)
        and len(peers) % PDI == 0,
    )
    mode = _mode(opaque)
    checks.require("6.2", "attest.nvidia_mode_conflict", mode is not None, str(mode))
    return Fields(
        driver=driver.rstrip(b"\0").decode("ascii"),
        vbios=".".join(f"{byte:02X}" for byte in (*vbios[3::-1], vbios[4])),
        fwid=fwid,
        mode=mode or "unknown",
        skips_35=nvdec[0] == DISABLED,
        pdi="",
        # A GPU writes the ids of its switches with the least significant byte first.
        peers=frozenset(peers[at : at + PDI][::-1].hex() for at in range(0, len(peers), PDI)),
    )


def read_switch(opaque: Mapping[int, bytes], checks: Checks) -> Fields:
    """Read an NVSwitch's fields.

    Raises:
        AttestationRefused: check 6.1 of :mod:`.device`.
    """
    bios = opaque.get(VBIOS_VERSION, b"")
    pdi = opaque.get(SWITCH_PDI, b"")
    fwid = opaque.get(FWID, b"")
    peers = opaque.get(SWITCH_GPU_PDIS, b"")
    checks.require(
        "6.1",
        "attest.nvidia_field",
        _BIOS_TEXT.fullmatch(bios) is not None
        and len(pdi) == PDI
        and len(fwid) in (0, 48)
        and len(peers) % PDI == 0,
    )
    return Fields(
        driver="",
        vbios=bios.rstrip(b"\0").decode("ascii"),
        fwid=fwid,
        mode="unknown",
        skips_35=False,
        pdi=pdi.hex(),
        peers=frozenset(peers[at : at + PDI].hex() for at in range(0, len(peers), PDI)),
    )


def _mode(opaque: Mapping[int, bytes]) -> Mode | None:
    """The mode, from whichever of its two fields the driver writes; ``None`` if they disagree."""
    protected = opaque.get(PROTECTED_PCIE)
    if protected not in (None, bytes([DISABLED]), bytes([ENABLED])):
        return None
    by_status: Mode = "ppcie" if protected == bytes([ENABLED]) else "unknown"
    if FEATURE not in opaque:
        return by_status
    mode = _FEATURES.get(opaque[FEATURE])
    if mode is None or (protected is not None and (mode == "ppcie") != (by_status == "ppcie")):
        return None
    return mode
