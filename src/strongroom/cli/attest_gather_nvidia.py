"""The signed manifests (RIMs) for the driver and firmware that NVIDIA devices report.

A manifest is asked for by an id that is made of what the device reports of itself: its chip and
driver version, and board, SKU and VBIOS version. A switch has one manifest, of its BIOS.

Source: NVIDIA RIM Service API; the ids are made as NVIDIA's attestation SDK makes them. Never tried
against NVIDIA's service; tested against a server that answers with recorded manifests. OCSP is not
asked: verification goes by the owner's own list of revoked certificates.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

import msgspec

from strongroom.attest.interface import Checks
from strongroom.attest.nvidia import rim
from strongroom.attest.nvidia.chain import read_pem
from strongroom.attest.nvidia.device import CHIPS, DeviceEvidence
from strongroom.attest.nvidia.evidence import read_devices
from strongroom.attest.nvidia.opaque import read_gpu, read_switch
from strongroom.attest.nvidia.reasons import REASONS
from strongroom.attest.nvidia.report import parse
from strongroom.cli.attest_fetch import fetch, not_fetched
from strongroom.errors import AttestationRefused, ConfigurationRefused

NVIDIA = "https://rim.attestation.nvidia.com"
CHIP_SKU, PROJECT, PROJECT_SKU = 15, 17, 18
"""Numbers of opaque fields that only the ids are made of."""

_SWITCH_BOARD = "5612_0002_890"  # a switch does not report its own
_BOARD = re.compile(r"[A-Z0-9]{1,8}")
_ID = re.compile(r"[A-Z0-9._]{8,64}")


class _Answer(msgspec.Struct, frozen=True):
    id: str
    rim: str


def for_devices(devices: bytes, service: str = NVIDIA) -> dict[str, bytes]:
    """The manifests for a collector's list of devices, by their ids in lower case.

    Args:
        devices: JSON as collectors write it; it is not verified here.
        service: base address of NVIDIA's service, or of a cache of it.

    Raises:
        ConfigurationRefused: ``cli.attest_gather``: the evidence does not say what to ask for.
        EnvironmentLacks: ``cli.attest_fetch``.
    """
    try:
        wanted = {name for device in read_devices(devices) for name in rim_ids(device)}
    except (AttestationRefused, ValueError) as error:
        raise ConfigurationRefused(
            "cli.attest_gather",
            "The evidence does not say what to ask for.",
            action="Pass the collector's list of devices as --part devices=FILE.",
        ) from error
    return {name.lower(): _manifest(name, service) for name in sorted(wanted)}


def rim_ids(device: DeviceEvidence) -> tuple[str, ...]:
    """What the manifests of one device are called.

    Raises:
        AttestationRefused: the report or the chain has no form that is accepted.
        ValueError: what it says makes no id.
    """
    checks = Checks(REASONS)
    report = parse(device.report, checks)
    chip = read_pem(device.certificates)[0].certificate.common_name.partition(" ")[0]
    if chip not in CHIPS:
        raise ValueError("unknown chip")
    if CHIPS[chip].kind == "switch":
        bios = read_switch(report.opaque, checks).vbios
        return _checked(f"NV_SWITCH_BIOS_{_SWITCH_BOARD}_{_plain(bios)}")
    fields = read_gpu(report.opaque, checks)
    board = "_".join(_text(report.opaque, each) for each in (PROJECT, PROJECT_SKU, CHIP_SKU))
    return _checked(
        f"NV_GPU_DRIVER_{chip}_{fields.driver}", f"NV_GPU_VBIOS_{board}_{_plain(fields.vbios)}"
    )


def _manifest(name: str, service: str) -> bytes:
    address = f"{service}/v1/rim/{name}"
    try:
        answer = msgspec.json.decode(fetch(address).body, type=_Answer)
        manifest = base64.b64decode(answer.rim, validate=True)
    except (ValueError, RecursionError) as error:
        raise not_fetched(address) from error
    if answer.id != name or not 0 < len(manifest) <= rim.MAX_BYTES:
        raise not_fetched(address)
    return manifest


def _text(opaque: Mapping[int, bytes], field: int) -> str:
    text = opaque.get(field, b"").rstrip(b"\0").decode("ascii")
    if not _BOARD.fullmatch(text):
        raise ValueError("no board")
    return text


def _plain(version: str) -> str:
    return version.replace(".", "").upper()


def _checked(*names: str) -> tuple[str, ...]:
    """They become part of an address: nothing but these characters."""
    if not all(_ID.fullmatch(name) for name in names):
        raise ValueError("no id")
    return names
