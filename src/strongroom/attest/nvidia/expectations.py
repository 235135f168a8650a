"""What an owner may choose about NVIDIA devices; everything else is refused in code."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

DEVICE_ROOT = "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"
RIM_ROOT = "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"


@dataclass(frozen=True, slots=True)
class Roots:
    """SHA-256 (DER, lower-case hex) of the two pinned roots; the defaults are NVIDIA's.

    ``device`` is "NVIDIA Device Identity CA", ``rim`` is "NVIDIA CoRIM signing Root CA".
    """

    device: str = DEVICE_ROOT
    rim: str = RIM_ROOT


class Expectations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An owner's choices. The defaults accept only what is fully proven.

    Args:
        nonce: the 64 hex digits that each report must answer.
        any_nonce: judge evidence whose nonce nobody issued, such as an old capture; says
            nothing about freshness then.
        count: exactly so many GPUs, 0 for switches alone; ``None`` for any number but zero.
        devices: ids (``Device.id``) that are allowed; ``None`` for any genuine one.
        chips: chips that are allowed (``GH100``, ``GB100``); switches are not counted here.
        modes: confidential-computing modes: ``mpt``, ``spt``, ``ppcie``; ``unknown`` stands for
            drivers that do not say.
        driver_versions, vbios_versions: versions that are allowed; ``None`` for any that a
            signed manifest describes.
        driver_rim, vbios_rim: whether the signed manifest must be there and match. Without
            both, debug and secure-boot state are unknown and the facts say ``debug``.
        missing_fwid: whether a report may lack the firmware identity (drivers before 550).
        unattested_switches: whether GPUs in protected PCIe may come without their NVSwitches.
        revoked: SHA-256 (DER, hex) of certificates not to trust, in any chain.
    """

    nonce: str = ""
    any_nonce: bool = False
    count: int | None = None
    devices: frozenset[str] | None = None
    chips: frozenset[str] = frozenset({"GH100", "GB100"})
    modes: frozenset[str] = frozenset({"mpt", "spt", "ppcie"})
    driver_versions: frozenset[str] | None = None
    vbios_versions: frozenset[str] | None = None
    driver_rim: bool = True
    vbios_rim: bool = True
    missing_fwid: bool = False
    unattested_switches: bool = False
    revoked: frozenset[str] = frozenset()
