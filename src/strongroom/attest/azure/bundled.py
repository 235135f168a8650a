"""Verify a bundle of kind ``azure-snp``.

Evidence: ``hcl_report``, ``message`` (TPMS_ATTEST), ``signature`` (bare RSASSA octets) and ``pcrs``
(24 times 32 bytes). Certificates are the VCEK's, ASK's and ARK's; it takes no collateral.
"""

from __future__ import annotations

from typing import cast

import msgspec

from strongroom.attest.azure.expectations import Expectations
from strongroom.attest.azure.verify import Evidence, verify
from strongroom.attest.bundle import REASONS, Bundle, parts
from strongroom.attest.interface import Facts, refusal

__all__ = ["Expectations", "verify_bundle"]


def verify_bundle(bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
    """Facts of a bundle's VM; see :mod:`.verify` for the checks.

    Raises:
        EvidenceRefused: a check did not hold, or the bundle has other parts.
    """
    if bundle.collateral:
        raise refusal(REASONS, "attest.bundle_parts")
    found = parts(bundle, "hcl_report", "message", "signature", "pcrs")
    evidence = Evidence(**found, certificates=bundle.certificates, crls=bundle.crls)
    return verify(evidence, now=now, expectations=cast(Expectations, expectations))
