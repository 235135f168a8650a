"""Judge one NVIDIA device: that it is genuine, what it runs, and that its RIMs say so.

1    The report is an SPDM 1.1 request and response, framed exactly (1.1 to 1.5).
2    The certificate chain leads to the pinned device root (2.1 to 2.7).
3    Each certificate is valid at ``now`` (3.1) and not struck off by the owner (3.2).
4    The leaf's key signed request ‖ response: ECDSA P-384, SHA-384 (4.1); the request carries
     the nonce that was issued (4.2).
5    The leaf names a known chip, and as many blocks as it has are reported (5.1, 5.2); the
     claimed architecture is the chip's (5.3); the leaf certifies a firmware identity (5.4) that
     is not in debug (5.5) and is the one that reports (5.6 present, 5.7 equal).
6    The opaque fields are well-formed (6.1) and agree about the mode (6.2).
7    The owner allows the chip (7.1), mode (7.2), driver (7.3) and VBIOS version (7.4).
8    Signed manifests for the driver's (8.1) and the VBIOS's version (8.2) are there, claim
     different indices (8.3), and every active index of both matches (8.4). Index i is SPDM
     block i + 1. Index 35 is skipped only when the report says that NVDEC0 is fused off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from strongroom.attest import der
from strongroom.attest.certificates import Certificate
from strongroom.attest.interface import CertificateDates, Checks
from strongroom.attest.nvidia import fwid as firmware
from strongroom.attest.nvidia.chain import Link, read_pem, require_current, trust
from strongroom.attest.nvidia.expectations import Expectations, Roots
from strongroom.attest.nvidia.opaque import Fields, read_gpu, read_switch
from strongroom.attest.nvidia.report import Report, parse
from strongroom.attest.nvidia.rim import Rim

CHAIN = 5
NVDEC0_INDEX = 35
SERIAL_NUMBER = "2.5.4.5"
_LEAF_NAME = re.compile(r"([A-Z0-9_]{4,8}) [A-Z][0-9]{2} (?:GSP|FSP) FMC LF")


@dataclass(frozen=True, slots=True)
class Chip:
    """A known chip: ``kind`` of device, architecture as collectors write it, blocks reported."""

    kind: Literal["gpu", "switch"]
    architecture: str
    blocks: int


CHIPS = {
    "GH100": Chip("gpu", "HOPPER", 64),
    "GB100": Chip("gpu", "BLACKWELL", 64),
    "LS_10": Chip("switch", "LS10", 31),
}


@dataclass(frozen=True, slots=True)
class DeviceEvidence:
    """What a collector hands over: claimed architecture, report, PEM chain (leaf first)."""

    architecture: str
    report: bytes
    certificates: bytes


@dataclass(frozen=True, slots=True)
class Device:
    """A genuine device.

    ``id`` is the serial number of its boot ROM's certificate (hex), which stays with the chip;
    ``ueid`` the leaf's serial number, which changes with the firmware. ``matched`` names the
    manifests of which every active index matched.
    """

    id: str
    nonce: bytes
    ueid: str
    hwmodel: str
    chip: str
    kind: Literal["gpu", "switch"]
    fields: Fields
    measurements: tuple[bytes, ...]
    matched: frozenset[str]
    certificates: tuple[CertificateDates, ...]


Manifests = Mapping[tuple[str, str, str], Rim]


def verify_device(
    evidence: DeviceEvidence,
    manifests: Manifests,
    checks: Checks,
    *,
    now: int,
    roots: Roots,
    expectations: Expectations,
) -> Device:
    """Walk checks 1 to 8 for one device.

    Args:
        manifests: genuine manifests by (kind, product, version).
        checks: where the checks are noted.

    Raises:
        AttestationRefused: with the code of the check that failed.
    """
    report = parse(evidence.report, checks)
    chain = read_pem(evidence.certificates)
    trust("2", chain, checks, root=roots.device, length=CHAIN)
    entries = [link.certificate for link in chain]
    require_current("3", entries, checks, now=now, revoked=expectations.revoked)
    signed = _is_signed(report, chain[0])
    checks.require("4.1", "attest.nvidia_signature", signed)
    answers = expectations.any_nonce or report.nonce.hex() == expectations.nonce
    checks.require("4.2", "attest.nvidia_nonce", answers, report.nonce.hex())
    name, chip = _chip(evidence, report, entries[0], checks)
    fields = (read_gpu if chip.kind == "gpu" else read_switch)(report.opaque, checks)
    _require_firmware(entries[0], fields, checks, expectations)
    _require_allowed(name, chip, fields, checks, expectations)
    return Device(
        nonce=report.nonce,
        id=_serial_number(entries[1]).lower(),
        ueid=str(entries[0].serial),
        hwmodel=entries[1].common_name,
        chip=name,
        kind=chip.kind,
        fields=fields,
        measurements=report.measurements,
        matched=_match(name, chip, report, fields, manifests, checks, expectations),
        certificates=tuple(entry.dates for entry in entries),
    )


def _is_signed(report: Report, leaf: Link) -> bool:
    r = int.from_bytes(report.signature[:48], "big")
    s = int.from_bytes(report.signature[48:], "big")
    try:
        leaf.key.verify(encode_dss_signature(r, s), report.signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


def _serial_number(certificate: Certificate) -> str:
    """The subject's serial number attribute; empty if it has none, or several."""
    groups = der.children(der.only(certificate.subject, der.SEQUENCE))
    pairs = [der.children(pair) for group in groups for pair in der.children(group, der.SET)]
    found = [text.body for kind, text in pairs if der.object_identifier(kind) == SERIAL_NUMBER]
    return found[0].decode("utf-8") if len(found) == 1 else ""


def _chip(
    evidence: DeviceEvidence, report: Report, leaf: Certificate, checks: Checks
) -> tuple[str, Chip]:
    named = _LEAF_NAME.fullmatch(leaf.common_name)
    chip = CHIPS.get(named[1]) if named else None
    checks.require("5.1", "attest.nvidia_chip", chip is not None)
    name, known = cast("re.Match[str]", named)[1], cast(Chip, chip)
    blocks = len(report.measurements)
    checks.require("5.2", "attest.nvidia_blocks", blocks == known.blocks, f"{blocks} blocks")
    checks.require(
        "5.3",
        "attest.nvidia_architecture",
        evidence.architecture == known.architecture,
        evidence.architecture,
    )
    return name, known


def _require_firmware(
    leaf: Certificate, fields: Fields, checks: Checks, expectations: Expectations
) -> None:
    try:
        certified, unsafe = firmware.read(leaf)
    except ValueError:
        certified, unsafe = b"", True
    checks.require("5.4", "attest.nvidia_tcb_info", certified != b"")
    checks.require("5.5", "attest.nvidia_debug_firmware", not unsafe)
    missing = fields.fwid == b""
    checks.require("5.6", "attest.nvidia_fwid_missing", not missing or expectations.missing_fwid)
    checks.require(
        "5.7", "attest.nvidia_fwid", missing or fields.fwid == certified, fields.fwid.hex()
    )


def _require_allowed(
    name: str, chip: Chip, fields: Fields, checks: Checks, expectations: Expectations
) -> None:
    if chip.kind == "gpu":
        checks.require("7.1", "attest.nvidia_product", name in expectations.chips, name)
        checks.require("7.2", "attest.nvidia_mode", fields.mode in expectations.modes, fields.mode)
        checks.require(
            "7.3",
            "attest.nvidia_driver_version",
            _allowed(fields.driver, expectations.driver_versions),
            fields.driver,
        )
    checks.require(
        "7.4",
        "attest.nvidia_vbios_version",
        _allowed(fields.vbios, expectations.vbios_versions),
        fields.vbios,
    )


def _allowed(version: str, versions: frozenset[str] | None) -> bool:
    return versions is None or version in versions


def _match(
    name: str,
    chip: Chip,
    report: Report,
    fields: Fields,
    manifests: Manifests,
    checks: Checks,
    expectations: Expectations,
) -> frozenset[str]:
    """Compare the measurements with both manifests; return which were there and matched."""
    driver = manifests.get(("driver", name, fields.driver))
    vbios = manifests.get(("vbios", name, fields.vbios))
    checks.require(
        "8.1",
        "attest.nvidia_driver_rim",
        driver is not None or not expectations.driver_rim or chip.kind == "switch",
        fields.driver,
    )
    checks.require(
        "8.2",
        "attest.nvidia_vbios_rim",
        vbios is not None or not expectations.vbios_rim,
        fields.vbios,
    )
    present: Sequence[Rim] = [rim for rim in (driver, vbios) if rim is not None]
    claimed = [index for rim in present for index in rim.active]
    checks.require("8.3", "attest.nvidia_rim_conflict", len(claimed) == len(set(claimed)))
    wrong = [index for rim in present for index in _mismatches(rim, report, fields)]
    checks.require(
        "8.4", "attest.nvidia_measurement", wrong == [], f"{len(claimed)} active indices"
    )
    return frozenset(rim.kind for rim in present)


def _mismatches(rim: Rim, report: Report, fields: Fields) -> list[int]:
    """The active indices of which the device reports none of the manifest's digests."""
    return [
        index
        for index, digests in sorted(rim.active.items())
        if not (index == NVDEC0_INDEX and fields.skips_35)
        and (index >= len(report.measurements) or report.measurements[index] not in digests)
    ]
