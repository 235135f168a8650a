"""What is requested and what is signed: canonical JSON, domain-separated Ed25519 signatures.

1. A ``Request`` says what should be allowed: the release of this model's key (model id, release
   number, manifest) under this policy, until then, and why. Nobody signs it; it does nothing by
   itself. Its id is the beginning of the SHA-256 of its bytes, so an id names one text.
2. An ``Approval`` names one request by the whole of that digest, and so all that stands in it.
3. A ``Revocation`` does too.
4. A vote is signed over ``LABEL ‖ bytes``, with a label of its own for either kind, so that no
   approval can be read as a revocation, nor any of them as something else that the key signed.
5. Bytes are accepted only if encoding what they say gives the same bytes (RFC 8785 for these
   types). What is signed travels and is kept as these very bytes.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from strongroom.artifact.manifest import ModelId, Natural
from strongroom.release.approvals.reasons import refuse

MAX_BYTES: Final = 4096
MAX_LIFETIME_SECONDS: Final = 90 * 24 * 3600
ID_DIGITS: Final = 32

APPROVAL_LABEL: Final = b"strongroom grant approval v1\0"
REVOCATION_LABEL: Final = b"strongroom grant revocation v1\0"

Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
KeyId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Asker = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}\Z")]
_Reason = Annotated[str, Meta(max_length=200)]
_Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What approvals are about: one release of one model, under one policy."""

    model: ModelId
    release: Natural
    manifest: Digest
    policy: Digest


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times are Unix seconds; it counts from ``created`` until before ``not_after``."""

    format: Literal["strongroom grant request v1"]
    subject: Subject
    asked_by: _Asker
    reason: _Reason
    created: _Time
    not_after: _Time
    nonce: KeyId


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``key`` is the fingerprint of the key that signs it."""

    format: Literal["strongroom grant approval v1"]
    request: Digest
    approver: Name
    key: KeyId
    reason: _Reason
    created: _Time
    not_after: _Time


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ends the whole request for good, whoever approved it."""

    format: Literal["strongroom grant revocation v1"]
    request: Digest
    approver: Name
    key: KeyId
    reason: _Reason
    created: _Time


Vote = Approval | Revocation
_Document = TypeVar("_Document", Request, Approval, Revocation)


def encode(document: Request | Vote) -> bytes:
    """The canonical bytes.

    Raises:
        KeyRefused: ``release.grant_malformed``, ``release.grant_reason``: a field is not
            acceptable (msgspec checks only what it decodes).
    """
    raw = _encode(document)
    kind: type[Any] = type(document)
    decode(raw, kind)
    return raw


def decode(raw: bytes, kind: type[_Document]) -> _Document:
    """The document in ``raw`` (rule 5).

    Raises:
        KeyRefused: ``release.grant_malformed`` or ``release.grant_reason``.
    """
    if len(raw) > MAX_BYTES:
        raise refuse("release.grant_malformed")
    try:
        document = msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise refuse("release.grant_malformed") from None
    if _encode(document) != raw:
        raise refuse("release.grant_malformed")
    if not document.reason.strip() or not document.reason.isprintable():
        raise refuse("release.grant_reason")
    return document


def digest(raw: bytes) -> str:
    """SHA-256 (hex) of a request's bytes: what votes name."""
    return hashlib.sha256(raw).hexdigest()


def request_id(raw: bytes) -> str:
    """What people call a request: the first 32 digits of its digest."""
    return digest(raw)[:ID_DIGITS]


def signed_bytes(vote: Vote, raw: bytes) -> bytes:
    """Rule 4: what the signature of a vote with these bytes is over."""
    return (APPROVAL_LABEL if isinstance(vote, Approval) else REVOCATION_LABEL) + raw


def is_signed(vote: Vote, raw: bytes, signature: bytes, public: bytes) -> bool:
    """Whether the key ``public`` (32 raw bytes) signed the vote with these bytes."""
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(signature, signed_bytes(vote, raw))
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: bytes) -> str:
    """Identifier of an approver's public key: the first 16 bytes of its SHA-256, 32 hex digits."""
    return hashlib.sha256(public).hexdigest()[:ID_DIGITS]


def _encode(document: Request | Vote) -> bytes:
    return msgspec.json.encode(document, order="sorted")
