"""The messages of key release, as JSON; unknown fields are refused and every field is bounded.

Whatever is hashed or signed travels as the very bytes that were hashed or signed (``runtime``,
``evidence``, ``body``), so that nobody verifies a copy that was written anew.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.artifact.recipients import Recipient
from strongroom.keys.hpke_keys import OVERHEAD_BYTES, PUBLIC_BYTES, SuiteName

MAX_MESSAGE_BYTES = 256 * 1024
"""Largest message in either direction."""

SESSION_BYTES = 16
NONCE_BYTES = 32

Session = Annotated[bytes, Meta(min_length=SESSION_BYTES, max_length=SESSION_BYTES)]
Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
ServiceKeyId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Assurance = Literal["HARDWARE", "SOFTWARE-ONLY"]
"""What stands behind the evidence. Without a TEE nothing but this machine's software does."""


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of what is sent."""


# --- workload to service -----------------------------------------------------------------------


class Ask(_Message, frozen=True, tag="ask"):
    """Ask for a challenge."""

    protocol: Literal[1] = 1


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the evidence commits to: the challenge, the key to encrypt to, and what is wanted.

    ``audience`` is the id of the service that this is meant for; ``tee_public`` an ephemeral
    ML-KEM-768+X25519 key; ``context`` what the recipient stanzas are bound to.
    """

    session: Session
    nonce: Nonce
    audience: ServiceKeyId
    tee_public: Annotated[bytes, Meta(min_length=PUBLIC_BYTES, max_length=PUBLIC_BYTES)]
    manifest_digest: Digest
    context: Annotated[bytes, Meta(max_length=8192)]


class Release(_Message, frozen=True, tag="release"):
    """Ask for a key: encoded ``Runtime``, encoded evidence about it, and the model's stanzas."""

    runtime: Annotated[bytes, Meta(max_length=16_384)]
    evidence: Annotated[bytes, Meta(max_length=131_072)]
    recipients: Annotated[tuple[Recipient, ...], Meta(min_length=1, max_length=64)]


# --- service to workload -----------------------------------------------------------------------


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the service sends: an encoded ``Challenge``, ``Released`` or ``Refused``, signed."""

    body: Annotated[bytes, Meta(max_length=MAX_MESSAGE_BYTES)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Challenge(_Message, frozen=True, tag="challenge"):
    """A nonce for this session, usable once until ``expires_at`` (Unix seconds)."""

    session: Session
    nonce: Nonce
    expires_at: int
    service_key_id: ServiceKeyId
    evidence_kinds: tuple[str, ...]
    suites: tuple[str, ...]
    protocol: Literal[1] = 1


class Lease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a key may be used (Unix seconds); after ``renew_before`` it is time to ask again."""

    not_after: int
    renew_before: int


class Released(_Message, frozen=True, tag="released"):
    """A data key, encrypted to the ephemeral key of the request that ``nonce`` names."""

    decision: str
    session: Session
    nonce: Nonce
    audience: ServiceKeyId
    manifest_digest: Digest
    evidence_digest: Digest
    policy_digest: Digest
    key_id: str
    suite: SuiteName
    sealed: Annotated[bytes, Meta(min_length=32 + OVERHEAD_BYTES, max_length=32 + OVERHEAD_BYTES)]
    lease: Lease
    assurance: Assurance


class Refused(_Message, frozen=True, tag="refused"):
    """No key: ``code`` is stable, ``message`` says what happened, ``action`` what to do."""

    decision: str
    session: Session
    code: str
    message: str
    action: str


ToService = Ask | Release
ToWorkload = Challenge | Released | Refused
