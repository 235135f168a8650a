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
from strongroom.ledger.reasons import refuse

MAX_ENTRY_BYTES = 16 * 1024
"""Largest encoded entry; tlog-tiles could carry 65,535 bytes."""

_ID = r"^[A-Za-z0-9][A-Za-z0-9._:/@+\-]*\Z"

Identifier = Annotated[str, Meta(max_length=128, pattern=_ID)]
OptionalIdentifier = Annotated[str, Meta(max_length=128, pattern=rf"^\Z|{_ID}")]
Organisation = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
OptionalOrganisation = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Code = Annotated[str, Meta(max_length=128, pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*\Z")]
OptionalCode = Annotated[str, Meta(max_length=128, pattern=r"^\Z|^[a-z0-9_]+(\.[a-z0-9_]+)*\Z")]
Remark = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{64}|[0-9a-f]{96})\Z")]
OptionalDigest = Annotated[str, Meta(pattern=r"^\Z|^([0-9a-f]{64}|[0-9a-f]{96})\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Resource = Annotated[str, Meta(max_length=40, pattern=r"^[a-z][a-z0-9_]*\Z")]
Counts = Annotated[dict[_Resource, Count], Meta(max_length=24)]
"""Resource to amount, such as a ``Cost`` as a dict: requests, input_tokens, compute_ms, ..."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag=True):
    """Base of all kinds; the member ``type`` names the kind."""


class RequestIntent(Entry, frozen=True):
    """A request is about to be forwarded, and this is the most it may cost."""

    request: Identifier
    organisation: Organisation
    key_id: Identifier
    route: Identifier
    model: Identifier
    reserved: Counts
    model_digest: OptionalDigest = ""
    policy_digest: OptionalDigest = ""
    input_digest: OptionalDigest = ""


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
    counts: Counts = {}


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


class ApprovalGiven(Entry, frozen=True):
    """``approver`` approved ``action`` on the thing with that digest; ``expires`` 0 is never."""

    approver: Identifier
    action: Identifier
    subject_digest: Digest
    expires: Count = 0


class ApprovalRevoked(Entry, frozen=True):
    """``approver`` took an approval back."""

    approver: Identifier
    action: Identifier
    subject_digest: Digest


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
    counts: Counts = {}
    request: OptionalIdentifier = ""


class AdapterReleased(Entry, frozen=True):
    """An adapter passed its release gate, or (``passed`` false) did not."""

    manifest_digest: Digest
    base_digest: Digest
    gate_digest: Digest
    passed: bool
    by: OptionalIdentifier = ""


class StudentReleased(Entry, frozen=True):
    """A student passed its release gate, or (``passed`` false) did not."""

    manifest_digest: Digest
    teacher_digest: Digest
    gate_digest: Digest
    passed: bool
    by: OptionalIdentifier = ""


AnyEntry = (
    RequestIntent
    | RequestFinal
    | Refused
    | KeyReleased
    | KeyRefused
    | ApprovalGiven
    | ApprovalRevoked
    | PolicyChanged
    | KeyChanged
    | OrganisationChanged
    | LimitsChanged
    | Switched
    | SchemaChanged
    | OperatorChanged
    | Signal
    | AdapterReleased
    | StudentReleased
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
