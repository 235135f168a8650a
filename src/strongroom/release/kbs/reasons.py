"""Why a guest is refused on this wire: every code, its sentence, its remedy, its HTTP status."""

from __future__ import annotations

from typing import Final

from strongroom.attest.interface import Reason, table
from strongroom.errors import KeyRefused

REASONS: Final = table(
    Reason(
        "release.kbs_malformed",
        "The message is not one of the KBS protocol.",
        "Use a guest that speaks version 0.4.0.",
    ),
    Reason(
        "release.kbs_oversized",
        "The message is larger than any genuine one.",
        "Find out what the guest sends.",
    ),
    Reason(
        "release.kbs_slow",
        "The message did not arrive in time.",
        "Find out what delays the guest.",
    ),
    Reason(
        "release.kbs_version",
        "The guest speaks another version of the KBS protocol.",
        "Use guest components of version 0.4.0 of the protocol.",
    ),
    Reason(
        "release.kbs_tee",
        "Evidence of this kind is not taken here.",
        "Run the guest on SEV-SNP or TDX, with NVIDIA GPUs or without.",
    ),
    Reason(
        "release.kbs_selector",
        "The guest asks for an attestation policy by a name that is not mapped.",
        "Leave attestation-policy-selector out: the service has one policy.",
    ),
    Reason(
        "release.kbs_session",
        "There is no session with this cookie or token, or it has ended.",
        "Begin anew with /kbs/v0/auth.",
    ),
    Reason(
        "release.kbs_not_attested",
        "The session has not been attested.",
        "Send evidence to /kbs/v0/attest first.",
    ),
    Reason(
        "release.kbs_tee_key",
        "The guest's public key is of a kind that is not taken.",
        "Use EC P-256 or P-521 with ECDH-ES+A256KW, or RSA of 2048 bits or more with RSA-OAEP-256.",
    ),
    Reason(
        "release.kbs_evidence",
        "The guest's evidence is not in the form that its kind has on this wire.",
        "See docs/release.md for the forms that are taken.",
    ),
    Reason(
        "release.kbs_no_resource",
        "There is nothing under this path.",
        "Ask for a path that the service's configuration names.",
    ),
    Reason(
        "release.kbs_exhausted",
        "The session fetched as many resources as one may.",
        "Begin anew with /kbs/v0/auth.",
    ),
)

_FORBIDDEN: Final = frozenset({"release.denied", "release.revoked", "release.source_revoked"})
_FORBIDDEN_ROOTS: Final = ("release.grant_", "release.approv")


def refuse(code: str) -> KeyRefused:
    """The error that stands for ``code``."""
    reason = REASONS[code]
    return KeyRefused(reason.code, reason.sentence, action=reason.action)


def status_of(code: str) -> int:
    """The HTTP status for a refusal: 403 where the policy says no, 404 for no such resource."""
    if code == "release.kbs_slow":
        return 408
    if code == "release.kbs_no_resource":
        return 404
    if code in _FORBIDDEN or code.startswith(_FORBIDDEN_ROOTS):
        return 403
    return 401
