"""What key release decided, from the line that it prints to an entry of the home's record."""

from __future__ import annotations

from pathlib import Path

import msgspec

from strongroom.errors import BoundaryRefused
from strongroom.ledger.entries import KeyRefused, KeyReleased
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.release.record import Decision

LOG = "release"
"""The log of a home that holds them; the supervisor of ``serve`` is its writer."""

_WAIT_SECONDS = 5.0
_decoder = msgspec.json.Decoder(Decision)


def record(state: Path, key: LogKey, line: bytes) -> None:
    """Record one line of key release's standard output in the home's folder ``state``, durably.

    The log is opened each time: decisions are few, and two models of one home may be served.

    Raises:
        StrongroomError: as ``entry_of`` and ``open_log``.
    """
    with open_log(state, LOG, key, wait_seconds=_WAIT_SECONDS) as log:
        log.write(entry_of(line))


def entry_of(line: bytes) -> KeyReleased | KeyRefused:
    """The entry for one line of key release's standard output.

    Raises:
        BoundaryRefused: ``cli.bad_decision``: the line is no decision.
    """
    try:
        made = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BoundaryRefused(
            "cli.bad_decision",
            "Key release printed something that is not a decision.",
            action="Run the same version of all processes.",
        ) from None
    if made.outcome == "released" and made.lease is not None and made.assurance is not None:
        return KeyReleased(
            decision=made.decision,
            key_id=made.key_id,
            key_kind=made.key_kind,
            manifest_digest=made.manifest_digest,
            policy_digest=made.policy_digest,
            evidence_kind=made.evidence_kind,
            evidence_digest=made.evidence_sha256,
            assurance=made.assurance,
            lease_until=made.lease.not_after,
            service_key_id=made.service_key_id,
            code=made.code,
            configuration=made.configuration,
        )
    return KeyRefused(
        decision=made.decision,
        reason=made.reason,
        policy_digest=made.policy_digest,
        service_key_id=made.service_key_id,
        manifest_digest=made.manifest_digest,
        evidence_kind=made.evidence_kind,
        evidence_digest=made.evidence_sha256,
        code=made.code,
        configuration=made.configuration,
    )
