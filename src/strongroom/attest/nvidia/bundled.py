"""Verify a bundle of kind ``nvidia``.

Its evidence has one part, ``devices``: the JSON list of the collector, GPUs and switches. Its
collateral is the signed manifests (RIMs), under any names. It takes no other parts: the
certificate chains stand beside each report.
"""

from __future__ import annotations

from typing import cast

import msgspec

from strongroom.attest.bundle import REASONS, Bundle, parts
from strongroom.attest.interface import Facts, refusal
from strongroom.attest.nvidia.evidence import read_devices
from strongroom.attest.nvidia.expectations import Expectations
from strongroom.attest.nvidia.verify import Evidence, verify

__all__ = ["Expectations", "verify_bundle"]


def verify_bundle(bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
    """Facts of a bundle's devices; see :mod:`.verify` for the checks.

    Raises:
        EvidenceRefused: a check did not hold, or the bundle has other parts.
    """
    if bundle.certificates or bundle.crls or bundle.nested:
        raise refusal(REASONS, "attest.bundle_parts")
    evidence = Evidence(
        devices=read_devices(parts(bundle, "devices")["devices"]),
        manifests=tuple(document for _, document in sorted(bundle.collateral.items())),
    )
    return verify(evidence, now=now, expectations=cast(Expectations, expectations))
