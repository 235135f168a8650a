"""What the record may say of keys: released and refused, leased, approved; models revoked."""

from __future__ import annotations

from strongroom.ledger.forms import (
    Code,
    Count,
    Digest,
    Entry,
    Identifier,
    OptionalDigest,
    OptionalIdentifier,
    Remark,
)


class KeyReleased(Entry, frozen=True):
    """Key release gave a workload the key of a sealed model, until ``lease_until`` (Unix time)."""

    decision: Identifier
    key_id: Identifier
    key_kind: Identifier
    manifest_digest: Digest
    policy_digest: Digest
    evidence_kind: Identifier
    evidence_digest: Digest
    assurance: Identifier
    lease_until: Count
    service_key_id: Identifier
    code: OptionalIdentifier = ""
    configuration: OptionalIdentifier = ""


class KeyRefused(Entry, frozen=True):
    """Key release refused a workload; ``reason`` is the code it was told."""

    decision: Identifier
    reason: Code
    policy_digest: Digest
    service_key_id: Identifier
    manifest_digest: OptionalDigest = ""
    evidence_kind: OptionalIdentifier = ""
    evidence_digest: OptionalDigest = ""
    code: OptionalIdentifier = ""
    configuration: OptionalIdentifier = ""


class LeaseRenewed(Entry, frozen=True):
    """Key release renewed the lease of the key that decision ``renews`` released."""

    decision: Identifier
    renews: Identifier
    manifest_digest: Digest
    policy_digest: Digest
    evidence_kind: Identifier
    evidence_digest: Digest
    assurance: Identifier
    lease_until: Count
    service_key_id: Identifier
    code: OptionalIdentifier = ""
    configuration: OptionalIdentifier = ""


class LeaseRefused(Entry, frozen=True):
    """Key release did not renew the lease of the key that decision ``renews`` released.

    ``reason`` is the code that the workload was told; ``release.record_failed`` and the like are
    no judgements, and the workload tries again.
    """

    decision: Identifier
    renews: Identifier
    reason: Code
    policy_digest: Digest
    service_key_id: Identifier
    manifest_digest: OptionalDigest = ""
    evidence_kind: OptionalIdentifier = ""
    evidence_digest: OptionalDigest = ""
    code: OptionalIdentifier = ""
    configuration: OptionalIdentifier = ""


class ApprovalRequested(Entry, frozen=True):
    """Somebody asked for ``action`` on a model under a policy; votes name ``subject_digest``."""

    action: Identifier
    subject_digest: Digest
    model: Identifier
    release: Count
    manifest_digest: Digest
    policy_digest: Digest
    expires: Count
    by: Identifier
    remark: Remark


class ApprovalGiven(Entry, frozen=True):
    """``approver`` approved ``action`` on the thing with that digest; ``expires`` 0 is never."""

    approver: Identifier
    action: Identifier
    subject_digest: Digest
    expires: Count = 0
    key_id: OptionalIdentifier = ""
    remark: Remark = ""


class ApprovalRevoked(Entry, frozen=True):
    """``approver`` ended the request with that digest, and with it all approvals of it."""

    approver: Identifier
    action: Identifier
    subject_digest: Digest
    key_id: OptionalIdentifier = ""
    remark: Remark = ""


class ModelRevoked(Entry, frozen=True):
    """No key of it, nor of what was made from it, any more. ``release`` 0 is all releases."""

    release: Count
    model: OptionalIdentifier = ""
    manifest_digest: OptionalDigest = ""
    by: OptionalIdentifier = ""
    remark: Remark = ""


class DerivationNoted(Entry, frozen=True):
    """A release of a model was made from another, and is revoked with it."""

    model: Identifier
    release: Count
    manifest_digest: Digest
    source_model: Identifier
    source_release: Count
    source_digest: Digest
    by: OptionalIdentifier = ""
