"""What an owner may choose about TPM quotes; everything else is refused in code."""

from __future__ import annotations

from typing import Literal

import msgspec

FIRMWARE_AND_BOOT = (0, 1, 2, 3, 4, 5, 6, 7)


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this verifier put into a credential, and for whom; all in hex.

    Args:
        secret: at least 16 bytes.
        ak_name: the attestation key's name for which it was made.
        ek: SHA-256 of the endorsement key's SubjectPublicKeyInfo to which it was encrypted.
    """

    secret: str
    ak_name: str
    ek: str


class Expectations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An owner's choices. The defaults accept only what is fully proven.

    Args:
        nonce: hex of the bytes that the quote's extraData must equal, at most 64 bytes.
        any_nonce: judge a quote whose nonce nobody issued, such as an old capture; says nothing
            about freshness then.
        selection: exactly the PCRs that must be quoted, in ascending order.
        pcrs: PCR number (as text) to the hex values that are allowed.
        ak_pins: SHA-256 (hex) of the SubjectPublicKeyInfo of attestation keys that the owner
            checked by other means.
        roots: SHA-256 (DER, hex) of manufacturers' root certificates that the owner trusts.
        credential: the credential that the machine had to open, where that way is used.
        unsafe_clock: whether the TPM may say that its clock went backwards.
        reset_count: the count that must not have changed; ``None`` for any.
        event_log: ``required``, or judged only where it is given (``optional``).
    """

    nonce: str = ""
    any_nonce: bool = False
    selection: tuple[int, ...] = FIRMWARE_AND_BOOT
    pcrs: dict[str, frozenset[str]] = {}
    ak_pins: frozenset[str] = frozenset()
    roots: frozenset[str] = frozenset()
    credential: Credential | None = None
    unsafe_clock: bool = False
    reset_count: int | None = None
    event_log: Literal["required", "optional"] = "optional"
