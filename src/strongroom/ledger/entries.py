"""What the record may say: one frozen struct a kind of entry, together a tagged union.

1. No entry has a field for a prompt, an answer, a weight or a secret. What an assessor may have to
   recognise later is there as a ``Digest``: HMAC-SHA-256 under the home's digest key, so that the
   record alone does not let anybody test guesses.
2. Every text is an identifier of bounded length and alphabet, so that a caller cannot write
   sentences into the record through a name. ``Remark`` is what an operator typed.
3. Numbers are integers. An entry is written as canonical JSON (RFC 8785 for these types): members
   sorted, no white space, members that have their default left out.
4. ``Recorded`` is one leaf of the log: the entry, its place, and when it was appended.

Kinds may gain fields with defaults and the union may gain kinds; neither is ever taken away.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.ledger.checking import checker
from strongroom.ledger.forms import (
    Code,
    Count,
    Counts,
    Digest,
    Entry,
    Identifier,
    OptionalCode,
    OptionalDigest,
    OptionalIdentifier,
    OptionalOrganisation,
    Organisation,
    Remark,
)
from strongroom.ledger.reasons import refuse
from strongroom.ledger.release_entries import (
    ApprovalGiven,
    ApprovalRequested,
    ApprovalRevoked,
    DerivationNoted,
    KeyRefused,
    KeyReleased,
    LeaseRefused,
    LeaseRenewed,
    ModelRevoked,
)

MAX_ENTRY_BYTES = 16 * 1024
"""Largest encoded entry; tlog-tiles could carry 65,535 bytes."""


class RequestIntent(Entry, frozen=True):
    """A request is about to be forwarded, and this is the most it may cost.

    ``adapter`` is the organisation's own through which it goes; empty for the bare model.
    """

    request: Identifier
    organisation: Organisation
    key_id: Identifier
    route: Identifier
    model: Identifier
    reserved: Counts
    model_digest: OptionalDigest = ""
    policy_digest: OptionalDigest = ""
    input_digest: OptionalDigest = ""
    adapter: OptionalIdentifier = ""


class RequestFinal(Entry, frozen=True):
    """The request with that intent has ended, and this is what it did cost.

    ``outcome`` is what became of it; ``lost`` is written at a start for requests that a dead
    process left behind. ``code`` says why, where there is a reason.
    """

    request: Identifier
    outcome: Literal["answered", "stopped", "abandoned", "failed", "lost"]
    settled: Counts
    code: OptionalCode = ""
    output_digest: OptionalDigest = ""


class Refused(Entry, frozen=True):
    """A request was refused before it was forwarded. What is not known yet is empty."""

    request: Identifier
    code: Code
    status: Annotated[int, Meta(ge=100, le=599)]
    organisation: OptionalOrganisation = ""
    key_id: OptionalIdentifier = ""
    route: OptionalIdentifier = ""
    model: OptionalIdentifier = ""
    policy_digest: OptionalDigest = ""
    counts: Counts = msgspec.field(default_factory=dict)


class PolicyChanged(Entry, frozen=True):
    """From here on ``new_digest`` is in force. The first one of a log has no old digest."""

    policy: Identifier
    new_digest: Digest
    old_digest: OptionalDigest = ""
    by: OptionalIdentifier = ""


class KeyChanged(Entry, frozen=True):
    """An API key was made, changed or revoked."""

    key_id: Identifier
    organisation: Organisation
    change: Literal["created", "changed", "revoked"]
    expires: Count = 0
    by: OptionalIdentifier = ""


class OrganisationChanged(Entry, frozen=True):
    """An organisation was made, changed or revoked."""

    organisation: Organisation
    change: Literal["created", "changed", "revoked"]
    by: OptionalIdentifier = ""


class LimitsChanged(Entry, frozen=True):
    """The limits of a subject are now these; a resource and window not named has none."""

    subject_kind: Literal["organisation", "key", "default"]
    subject: Organisation
    limits: Counts
    by: OptionalIdentifier = ""


class Switched(Entry, frozen=True):
    """A model or an organisation was switched off or on again."""

    subject_kind: Literal["model", "organisation", "all"]
    subject: Organisation
    on: bool
    by: OptionalIdentifier = ""
    remark: Remark = ""


class SchemaChanged(Entry, frozen=True):
    """A schema of structured output, with that digest, was registered or removed."""

    schema: Identifier
    change: Literal["registered", "removed"]
    digest: Digest
    by: OptionalIdentifier = ""


class OperatorChanged(Entry, frozen=True):
    """An operator's key, which logs in to the console, was made or revoked."""

    operator_id: Identifier
    operator: Identifier
    change: Literal["created", "revoked"]
    by: OptionalIdentifier = ""


class Signal(Entry, frozen=True):
    """A detector found something. ``score`` and ``threshold`` are in thousandths."""

    detector: Identifier
    organisation: OptionalOrganisation
    score: Count
    threshold: Count
    action: Literal["none", "throttle", "suspend", "block"]
    counts: Counts = msgspec.field(default_factory=dict)
    request: OptionalIdentifier = ""


class KeeperFault(Entry, frozen=True):
    """A keeper said that it may not go on, and ended; ``code`` is why."""

    model: Identifier
    manifest_digest: Digest
    code: Code


class TuningChanged(Entry, frozen=True):
    """A tuning job was made, cancelled or failed, or its adapter was sealed.

    ``created`` stands before the job does, ``sealed`` and ``failed`` before it ends so; ``code``
    says why it failed. ``dataset_digest`` is keyed, of the digest that the adapter's lineage has.
    """

    job: Identifier
    organisation: Organisation
    model: Identifier
    base_digest: Digest
    dataset_digest: Digest
    change: Literal["created", "cancelled", "sealed", "failed"]
    key_id: OptionalIdentifier = ""
    manifest_digest: OptionalDigest = ""
    code: OptionalCode = ""
    by: OptionalIdentifier = ""


class SessionChanged(Entry, frozen=True):
    """A customer began to steer training step by step, or it is over, after ``steps`` of them.

    ``began`` stands before the session does; ``code`` says why it is over, if not for want of use.
    """

    session: Identifier
    organisation: Organisation
    model: Identifier
    base_digest: Digest
    change: Literal["began", "over"]
    steps: Count = 0
    key_id: OptionalIdentifier = ""
    code: OptionalCode = ""
    by: OptionalIdentifier = ""


class AdapterReleased(Entry, frozen=True):
    """An adapter passed its release gate, or (``passed`` false) did not."""

    manifest_digest: Digest
    base_digest: Digest
    gate_digest: Digest
    passed: bool
    by: OptionalIdentifier = ""


class AdapterPromoted(Entry, frozen=True):
    """``name`` of an organisation means the adapter of this job; ``gate_digest`` of its verdict."""

    organisation: Organisation
    model: Identifier
    name: Identifier
    job: Identifier
    gate_digest: Digest
    by: OptionalIdentifier = ""


class AdapterRolledBack(Entry, frozen=True):
    """The name no longer means the adapter of job ``ended``, but of ``job``: empty for none."""

    organisation: Organisation
    model: Identifier
    name: Identifier
    ended: Identifier
    job: OptionalIdentifier = ""
    by: OptionalIdentifier = ""


class StudentReleased(Entry, frozen=True):
    """A student passed its release gate, or (``passed`` false) did not."""

    manifest_digest: Digest
    teacher_digest: Digest
    gate_digest: Digest
    passed: bool
    by: OptionalIdentifier = ""


class Committed(Entry, frozen=True):
    """Something of a model was fixed before anybody disputes it; ``digest`` is SHA-256 of it.

    ``kind`` is what: a fingerprint's file, the key of a watermark by a digest of the owner's, or a
    student's weights, as the file that holds them; of a student, the model is its teacher.
    """

    kind: Literal["fingerprint", "watermark_key", "student"]
    digest: Digest
    model: Identifier
    release: Count
    manifest_digest: Digest
    by: OptionalIdentifier = ""


AnyEntry = (
    RequestIntent
    | RequestFinal
    | Refused
    | KeyReleased
    | KeyRefused
    | LeaseRenewed
    | LeaseRefused
    | ApprovalRequested
    | ApprovalGiven
    | ApprovalRevoked
    | ModelRevoked
    | DerivationNoted
    | PolicyChanged
    | KeyChanged
    | OrganisationChanged
    | LimitsChanged
    | Switched
    | SchemaChanged
    | OperatorChanged
    | Signal
    | KeeperFault
    | TuningChanged
    | SessionChanged
    | AdapterReleased
    | StudentReleased
    | AdapterPromoted
    | AdapterRolledBack
    | Committed
)


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One leaf of a log: the entry at place ``index`` (from 0), appended at ``at`` (Unix ms)."""

    index: Count
    at: Count
    entry: AnyEntry


_DECODER = msgspec.json.Decoder(Recorded)
_ENCODER = msgspec.json.Encoder(order="sorted")
_QUICK = {
    RequestIntent: checker(RequestIntent, ("request", "reserved", "input_digest")),
    RequestFinal: checker(RequestFinal, ("request", "settled", "output_digest")),
}


def encode(recorded: Recorded) -> bytes:
    """The leaf's bytes; ``ledger.bad_entry`` if a value does not have the form that it must have.

    Types are checked here because msgspec does so only when it decodes: what reaches the disk has
    passed the schema, by a quick check of the most frequent kinds or by being decoded again.
    """
    raw = _ENCODER.encode(recorded)
    check = _QUICK.get(type(recorded.entry))
    if check is None or not check(recorded.entry):
        try:
            _DECODER.decode(raw)
        except msgspec.ValidationError as error:
            raise refuse("ledger.bad_entry", problem=_without_values(error)) from None
    if len(raw) > MAX_ENTRY_BYTES:
        raise refuse("ledger.bad_entry", problem=f"it has more than {MAX_ENTRY_BYTES} bytes")
    return raw


def decode(raw: bytes) -> Recorded:
    """The leaf in ``raw``, whose place in the log the caller has verified already."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise refuse("ledger.unknown_entry") from None


def _without_values(error: msgspec.ValidationError) -> str:
    """The decoder's sentence: it names types and members, and quotes no value of ours."""
    return str(error).replace("`", "'")
