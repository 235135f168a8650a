"""Verify a bundle of kind ``tpm``.

Evidence: ``message`` (TPMS_ATTEST), ``signature`` (TPMT_SIGNATURE), ``pcrs`` (for each quoted PCR
in ascending order 32 bytes), and by the way in which the attestation key is trusted ``ak``
(SubjectPublicKeyInfo in DER; pinned), nothing (the key's certificate leads ``certificates``), or
``ak_public`` (TPMT_PUBLIC) with ``answer`` (what the machine found in the credential;
``certificates`` are the endorsement key's). ``log`` is the event log, if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from strongroom.attest.bundle import REASONS as BUNDLE_REASONS
from strongroom.attest.bundle import Bundle, parts
from strongroom.attest.interface import Checks, Facts, refusal
from strongroom.attest.tpm.ak import (
    AttestationKey,
    by_certificate,
    by_credential,
    pinned,
)
from strongroom.attest.tpm.expectations import Expectations
from strongroom.attest.tpm.quote import Quote, verify
from strongroom.attest.tpm.reasons import REASONS

__all__ = ["Expectations", "verify_bundle"]


def verify_bundle(bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
    """Facts of a bundle's quote; see :mod:`.quote` and :mod:`.ak` for the checks.

    Raises:
        EvidenceRefused: a check did not hold, or the bundle has other parts.
    """
    if bundle.crls or bundle.nested or bundle.collateral:
        raise refusal(BUNDLE_REASONS, "attest.bundle_parts")
    optional = ("ak", "ak_public", "answer", "log")
    found = parts(bundle, "message", "signature", "pcrs", optional=optional)
    chosen = cast(Expectations, expectations)
    checks = Checks(REASONS)
    quote = Quote(
        message=found["message"],
        signature=found["signature"],
        pcrs=_values(found["pcrs"], chosen.selection),
        log=found.get("log", b""),
    )
    ak = _attestation_key(found, bundle.certificates, chosen, checks, now=now)
    return verify(quote, ak, checks, expectations=chosen)


def _values(data: bytes, selection: tuple[int, ...]) -> dict[int, bytes]:
    """The values in the order of the selection; wrong in number, they are refused later."""
    values = [data[at : at + 32] for at in range(0, len(data), 32)]
    if len(values) != len(selection):
        return {}
    return dict(zip(selection, values, strict=True))


def _attestation_key(
    found: Mapping[str, bytes],
    certificates: tuple[bytes, ...],
    chosen: Expectations,
    checks: Checks,
    *,
    now: int,
) -> AttestationKey:
    """The key, by the one way for which the bundle holds the parts."""
    if "ak" in found and not certificates:
        return pinned(found["ak"], chosen.ak_pins, checks)
    if "ak_public" in found and "answer" in found and certificates:
        return by_credential(
            found["ak_public"],
            certificates,
            chosen.roots,
            checks,
            now=now,
            credential=chosen.credential,
            answer=found["answer"],
        )
    if certificates and not {"ak", "ak_public", "answer"} & set(found):
        return by_certificate(certificates, chosen.roots, checks, now=now)
    raise refusal(REASONS, "attest.tpm_ak_missing")
