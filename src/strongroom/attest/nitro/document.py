"""The attestation document: COSE_Sign1 (RFC 9052) around the fields of the Nitro module.

Source: AWS, "Verifying the root of trust" of the Nitro Enclaves user guide, and the attestation
process of the aws-nitro-enclaves-nsm-api. The bytes that were signed are those that were given;
nothing is written again.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from strongroom.attest.interface import Checks, refusal
from strongroom.attest.nitro import cbor
from strongroom.attest.nitro.reasons import REASONS

MAX_DOCUMENT = 32 * 1024
ES384_HEADER = bytes.fromhex("a1013822")  # {1: -35}
PCR_SIZE = 48
MAX_FIELD = 1024


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed fields. ``timestamp`` is in milliseconds; ``cabundle`` runs from the root."""

    module_id: str
    digest: str
    timestamp: int
    pcrs: dict[int, bytes]
    certificate: bytes
    cabundle: list[bytes]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class Signed:
    """A document, what was signed of it, and the signature r ‖ s; nothing has been verified."""

    document: Document
    message: bytes
    signature: bytes


def parse(raw: bytes, checks: Checks) -> Signed:
    """Checks N1 to N5 of `verify`.

    Raises:
        EvidenceRefused: the code of the check that fails.
    """
    checks.require("N1", "attest.nitro_size", len(raw) <= MAX_DOCUMENT, f"{len(raw)} bytes")
    protected, unprotected, payload, signature = _cose(raw)
    checks.require("N2", "attest.nitro_framing", len(signature) == 96, "COSE_Sign1")
    checks.require("N3", "attest.nitro_algorithm", protected == ES384_HEADER, "ES384")
    checks.require("N4", "attest.nitro_unprotected", unprotected == {}, "none")
    document = _document(payload)
    bounded = all(
        field is None or len(field) <= MAX_FIELD
        for field in (document.public_key, document.user_data, document.nonce)
    )
    checks.require("N5", "attest.nitro_document", bounded, document.module_id)
    return Signed(document, _message(protected, payload), signature)


def _cose(raw: bytes) -> tuple[bytes, cbor.Value, bytes, bytes]:
    try:
        match cbor.loads(raw):
            case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
                return protected, unprotected, payload, signature
        raise ValueError("not a COSE_Sign1")
    except ValueError as error:
        raise refusal(REASONS, "attest.nitro_framing") from error


def _document(payload: bytes) -> Document:
    try:
        return msgspec.convert(cbor.loads(payload), Document)
    except ValueError as error:
        raise refusal(REASONS, "attest.nitro_document") from error


def _message(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052, section 4.4: ["Signature1", protected, b"", payload]."""
    head = b"\x84\x6aSignature1" + bytes([0x40 | len(protected)]) + protected + b"\x40"
    size = len(payload)
    length = b"\x58" + bytes([size]) if 24 <= size < 256 else b"\x59" + size.to_bytes(2, "big")
    return head + (bytes([0x40 | size]) if size < 24 else length) + payload
