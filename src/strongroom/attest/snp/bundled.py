"""Verify a bundle of kind ``snp``.

Its evidence has one part, ``report``: 1184 bytes. Its certificates are the key's (VCEK or VLEK),
ASK or ASVK, ARK; its revocation lists the ARK's. It takes no collateral.
"""

from __future__ import annotations

from typing import cast

import msgspec

from strongroom.attest.bundle import REASONS, Bundle, parts
from strongroom.attest.interface import Facts, refusal
from strongroom.attest.snp.expectations import Expectations
from strongroom.attest.snp.verify import Evidence, verify

__all__ = ["Expectations", "verify_bundle"]


def verify_bundle(bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
    """Facts of a bundle's report; see :mod:`.verify` for the checks.

    Raises:
        EvidenceRefused: a check did not hold, or the bundle has other parts.
    """
    if bundle.collateral:
        raise refusal(REASONS, "attest.bundle_parts")
    evidence = Evidence(parts(bundle, "report")["report"], bundle.certificates, bundle.crls)
    return verify(evidence, now=now, expectations=cast(Expectations, expectations))
