"""Judge all NVIDIA devices of a machine together.

 1-8  Each device by itself; see :mod:`.device`.
 9    Each manifest is genuine (R.1 to R.8 of :mod:`.rim`), valid now (9.1), not struck off (9.2),
      and there is one for a product and version (9.3).
 10   There is at least one GPU, or exactly as many as the owner expects (10.1; 0 means switches
      alone); no two pieces of evidence come from one device (10.2); every device is on the
      owner's list (10.3); all GPUs are one chip in one mode (10.4).
 11   In protected PCIe (``ppcie``): the switches that each GPU names are exactly those that were
      attested (11.1), and all switches connect one set of as many GPUs as were attested (11.2).

What this does not prove: that these GPUs hang on the CPU that attested. That rests on the nonce
(see :func:`.nonce.gpu_nonce`), on the CPU's measured software asking its own GPUs, and on the
encrypted channel that the driver sets up afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.attest.interface import Checks, Claim, Facts
from strongroom.attest.nvidia import rim as rims
from strongroom.attest.nvidia.chain import require_current
from strongroom.attest.nvidia.device import Device, DeviceEvidence, verify_device
from strongroom.attest.nvidia.expectations import Expectations, Roots
from strongroom.attest.nvidia.reasons import REASONS
from strongroom.attest.nvidia.rim import Rim

BOTH = frozenset({"driver", "vbios"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything about one machine's NVIDIA devices: GPUs, NVSwitches, and signed manifests."""

    devices: tuple[DeviceEvidence, ...]
    manifests: tuple[bytes, ...] = ()


def verify(
    evidence: Evidence,
    *,
    now: int,
    roots: Roots | None = None,
    expectations: Expectations | None = None,
) -> Facts:
    """Verify every device and the whole.

    Args:
        evidence: reports with certificate chains, and manifests.
        now: Unix seconds at which everything must be valid.
        roots: pinned roots; NVIDIA's by default.
        expectations: the owner's choices; strict by default.

    Returns:
        Facts of kind ``nvidia``. ``debug`` is ``False`` only if every active index of both
        manifests matched on every GPU, since nothing else tells debug and secure-boot state.

    Raises:
        AttestationRefused: with the code of the check that failed.
    """
    roots = roots or Roots()
    expectations = expectations or Expectations()
    checks = Checks(REASONS)
    manifests = _manifests(evidence.manifests, checks, now, roots, expectations)
    devices = [
        verify_device(
            entry,
            manifests,
            checks,
            now=now,
            roots=roots,
            expectations=expectations,
        )
        for entry in evidence.devices
    ]
    gpus = [device for device in devices if device.kind == "gpu"]
    switches = [device for device in devices if device.kind == "switch"]
    _require_whole(gpus, switches, checks, expectations)
    if any(gpu.fields.mode == "ppcie" for gpu in gpus) and not expectations.unattested_switches:
        _require_switches(gpus, switches, checks)
    return _facts(gpus, switches, checks)


def _manifests(
    data: Sequence[bytes], checks: Checks, now: int, roots: Roots, expectations: Expectations
) -> dict[tuple[str, str, str], Rim]:
    manifests: dict[tuple[str, str, str], Rim] = {}
    for document in data:
        rim = rims.read(document, roots.rim)
        require_current("9", rim.certificates, checks, now=now, revoked=expectations.revoked)
        key = (rim.kind, rim.product, rim.version)
        checks.require("9.3", "attest.nvidia_rim_duplicate", key not in manifests, " ".join(key))
        manifests[key] = rim
    return manifests


def _require_whole(
    gpus: Sequence[Device], switches: Sequence[Device], checks: Checks, expectations: Expectations
) -> None:
    count = len(gpus)
    ids = [device.id for device in (*gpus, *switches)]
    checks.require(
        "10.1",
        "attest.nvidia_count",
        len(ids) > 0 and (count > 0 if expectations.count is None else count == expectations.count),
        f"{count} GPUs",
    )
    checks.require("10.2", "attest.nvidia_duplicate", "" not in ids and len(set(ids)) == len(ids))
    checks.require(
        "10.3",
        "attest.nvidia_device",
        expectations.devices is None or expectations.devices.issuperset(ids),
    )
    sorts = {f"{entry.chip} {entry.fields.mode}" for entry in gpus or switches}
    checks.require("10.4", "attest.nvidia_mixed", len(sorts) == 1, ", ".join(sorts))


def _require_switches(gpus: Sequence[Device], switches: Sequence[Device], checks: Checks) -> None:
    attested = frozenset(switch.fields.pdi for switch in switches)
    checks.require(
        "11.1",
        "attest.nvidia_switches_missing",
        len(attested) > 0 and all(gpu.fields.peers == attested for gpu in gpus),
        f"{len(attested)} switches",
    )
    reached = {switch.fields.peers for switch in switches}
    checks.require(
        "11.2",
        "attest.nvidia_switch_topology",
        len(reached) == 1 and all(len(peers) == len(gpus) for peers in reached),
    )


def _facts(gpus: Sequence[Device], switches: Sequence[Device], checks: Checks) -> Facts:
    devices = [*gpus, *switches]
    proven = all(gpu.matched == BOTH for gpu in gpus) and all(
        "vbios" in switch.matched for switch in switches
    )
    claims: dict[str, Claim] = {
        "gpus": len(gpus),
        "switches": len(switches),
        "devices": tuple(device.id for device in devices),
        "ueids": tuple(device.ueid for device in devices),
        "hwmodels": tuple(sorted({device.hwmodel for device in devices})),
        "mode": devices[0].fields.mode,
        "driver_versions": tuple(sorted({gpu.fields.driver for gpu in gpus})),
        "vbios_versions": tuple(sorted({device.fields.vbios for device in devices})),
        "measurements_match": proven,
        "secure_boot": "enabled" if proven else "unknown",
        "debug_status": "disabled" if proven else "unknown",
    }
    return Facts(
        kind="nvidia",
        product=devices[0].chip,
        assurance="HARDWARE",
        measurements={
            f"{device.kind}{number}": hashlib.sha384(b"".join(device.measurements)).hexdigest()
            for number, device in enumerate(devices)
        },
        report_data=devices[0].nonce,
        debug=not proven,
        tcb={"driver": devices[0].fields.driver, "vbios": devices[0].fields.vbios},
        chip=devices[0].id if len(devices) == 1 else "",
        certificates=tuple(dict.fromkeys(entry for d in devices for entry in d.certificates)),
        claims=claims,
        checks=checks.made,
    )
