"""The messages of key release, as JSON; unknown fields are refused and every field is bounded.

Whatever is hashed or signed travels as the very bytes that were hashed or signed (``runtime``,
``evidence``, ``body``), so that nobody verifies a copy that was written anew.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.artifact.manifest import ModelId, Natural
from strongroom.artifact.recipients import Recipient
from strongroom.keys.hpke_keys import OVERHEAD_BYTES, PUBLIC_BYTES, SuiteName

MAX_EVIDENCE_BYTES = 1024 * 1024
"""Largest evidence of a guest, and of its devices: NVIDIA's manifests alone have 300 kB."""

MAX_MESSAGE_BYTES = 3 * 1024 * 1024
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
    ML-KEM-768+X25519 key; ``context`` what the recipient stanzas are bound to. ``model`` and
    ``release`` are what the manifest of this digest says, which the workload has verified.
    ``renews`` is the decision that released the key, where its lease is to be renewed; the key is
    then the one that it was encrypted to. It is empty where a key is asked for.
    """

    session: Session
    nonce: Nonce
    audience: ServiceKeyId
    tee_public: Annotated[bytes, Meta(min_length=PUBLIC_BYTES, max_length=PUBLIC_BYTES)]
    model: ModelId
    release: Natural
    manifest_digest: Digest
    context: Annotated[bytes, Meta(max_length=8192)]
    renews: Annotated[str, Meta(pattern=r"\A(?:[0-9A-Za-z][0-9A-Za-z-]{0,63})?\Z")] = ""


class Release(_Message, frozen=True, tag="release"):
    """Ask for a key: encoded ``Runtime``, encoded evidence about it, and the model's stanzas.

    ``additional`` is the evidence of the guest's devices, empty if there are none.
    """

    runtime: Annotated[bytes, Meta(max_length=16_384)]
    evidence: Annotated[bytes, Meta(max_length=MAX_EVIDENCE_BYTES)]
    recipients: Annotated[tuple[Recipient, ...], Meta(min_length=1, max_length=64)]
    additional: Annotated[bytes, Meta(max_length=MAX_EVIDENCE_BYTES)] = b""


class Renew(_Message, frozen=True, tag="renew"):
    """Ask for a longer lease of a key that was released; fields as in ``Release``."""

    runtime: Annotated[bytes, Meta(max_length=16_384)]
    evidence: Annotated[bytes, Meta(max_length=MAX_EVIDENCE_BYTES)]
    additional: Annotated[bytes, Meta(max_length=MAX_EVIDENCE_BYTES)] = b""


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
    """How long a key may be used: from ``issued_at`` to ``not_after`` (the service's Unix seconds).

    After ``renew_before`` it is time to ask again. Whoever holds the lease counts its length by a
    clock of their own, from before they asked, so that the two wall clocks need not agree and an
    answer that comes late lengthens nothing.
    """

    issued_at: int
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


class Renewed(_Message, frozen=True, tag="renewed"):
    """A longer lease of the key that ``renews`` released; the other fields as in ``Released``."""

    decision: str
    renews: str
    session: Session
    nonce: Nonce
    audience: ServiceKeyId
    manifest_digest: Digest
    evidence_digest: Digest
    policy_digest: Digest
    lease: Lease
    assurance: Assurance


class Refused(_Message, frozen=True, tag="refused"):
    """No key: ``code`` is stable, ``message`` says what happened, ``action`` what to do.

    ``passing`` says that this is no judgement: the service could not judge now, or the challenge
    was used up. Ask again.
    """

    decision: str
    session: Session
    code: str
    message: str
    action: str
    passing: bool = False


ToService = Ask | Release | Renew
ToWorkload = Challenge | Released | Renewed | Refused
