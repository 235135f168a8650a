"""Verified facts as an EAR appraisal: trustworthiness claims (draft-ietf-rats-ar4si) and status.

Facts exist only of evidence whose every check held, so that what is judged here is what the owner
may choose. A claim about which the evidence says nothing is left out, as AR4SI asks:

1. ``hardware``: 2 if a manufacturer's key vouches for it; 32 if the maker names weaknesses of this
   TCB level and the owner accepted them; 97 for SOFTWARE-ONLY evidence, which shows no hardware.
2. ``configuration``: 2 if nothing can debug it, 96 if something can.
3. ``executables``: 3 (known good at boot) if it shows all measurements of an image that the owner
   lists, 33 if it shows another one. Nothing says what ran after boot.
4. ``runtime-opaque``: 2 if memory is encrypted against the host, 32 if it is isolated by the
   host's own hypervisor (Nitro), 96 if the host can read it.
5. ``instance-identity``: 2 if the owner lists chips and this is one of them.
6. The status is the worst tier of these.
"""

from __future__ import annotations

import base64
from typing import Any, Final, Literal

from strongroom.attest.interface import Facts
from strongroom.release.policies.context import ACCELERATORS, matches
from strongroom.release.policies.document import Document

Status = Literal["none", "affirming", "warning", "contraindicated"]

_RANKS: Final[tuple[Status, ...]] = ("none", "affirming", "warning", "contraindicated")
_ENCRYPTED: Final = frozenset({"snp", "azure-snp", "tdx", "sgx"})
_ISOLATED: Final = frozenset({"nitro"})
_UP_TO_DATE: Final = "UpToDate"


def appraise(facts: Facts, policy: Document) -> dict[str, Any]:
    """One entry of ``submods``, ready for JSON.

    Args:
        facts: of one piece of evidence.
        policy: the release policy, for the owner's images and chips.
    """
    vector = _vector(facts, policy)
    return {
        "ear_status": _status(vector),
        "ear_trustworthiness_vector": vector,
        "ear_appraisal_policy_ids": [policy_id(policy.digest)],
        "ear_attester_claims": {
            "kind": facts.kind,
            "product": facts.product,
            "chip": facts.chip,
            "dbgstat": "enabled" if facts.debug else "disabled-since-boot",
            "measurements": dict(facts.measurements),
            "tcb": dict(facts.tcb),
            "claims": dict(facts.claims),
        },
        "ear_verifier_claims": {
            "assurance": facts.assurance,
            "images": [image.name for image in policy.images if matches(facts, image)],
            "checks": len(facts.checks),
        },
    }


def policy_id(digest: str) -> str:
    """A policy's digest (SHA-256, hex) as a name of RFC 6920: ``ni:///sha-256;...``."""
    name = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode("ascii")
    return f"ni:///sha-256;{name}"


def _vector(facts: Facts, policy: Document) -> dict[str, int]:
    vector = {"hardware": _hardware(facts), "configuration": 96 if facts.debug else 2}  # 1, 2
    if facts.kind in ACCELERATORS:
        return vector
    known = any(matches(facts, image) for image in policy.images)
    vector["executables"] = 3 if known else 33  # 3
    vector["runtime-opaque"] = _opaque(facts)  # 4
    if facts.chip and facts.chip in policy.allow.chips:
        vector["instance-identity"] = 2  # 5
    return vector


def _hardware(facts: Facts) -> int:
    if facts.assurance != "HARDWARE":
        return 97
    return 2 if facts.tcb.get("status", _UP_TO_DATE) == _UP_TO_DATE else 32


def _opaque(facts: Facts) -> int:
    if facts.assurance != "HARDWARE" or facts.debug:
        return 96
    if facts.kind in _ENCRYPTED:
        return 2
    return 32 if facts.kind in _ISOLATED else 96


def _status(vector: dict[str, int]) -> Status:
    """Rule 6; the tiers are those of AR4SI, section 2.3.2, for the values used here."""
    return max((_tier(value) for value in vector.values()), key=_RANKS.index)


def _tier(value: int) -> Status:
    if value < 2:
        return "none"
    if value < 32:
        return "affirming"
    return "warning" if value < 96 else "contraindicated"
