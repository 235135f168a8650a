"""What key release decided, from the line that it prints to an entry of the home's record.

Key release answers nobody before it has read that its decision is recorded (``recording``).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from strongroom.errors import BoundaryRefused
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.ledger.release_entries import KeyRefused, KeyReleased, LeaseRefused, LeaseRenewed
from strongroom.release.record import Decision
from strongroom.release.recording import acknowledgement

if TYPE_CHECKING:
    from strongroom.cli.children import Child

LOG = "release"
"""The log of a home that holds them; the supervisor of ``serve`` is its writer."""

_WAIT_SECONDS = 5.0
_decoder = msgspec.json.Decoder(Decision)


def record(state: Path, key: LogKey, line: bytes) -> bytes:
    """Record one line of key release's standard output in the home's folder ``state``, durably.

    The log is opened each time: decisions are few, and two models of one home may be served.

    Returns:
        The line that tells key release so.

    Raises:
        StrongroomError: as ``entry_of`` and ``open_log``.
    """
    entry = entry_of(line)
    with open_log(state, LOG, key, wait_seconds=_WAIT_SECONDS) as log:
        log.write(entry)
    return acknowledgement(entry.decision)


class Keeping:
    """Records what a key release decides, in a thread, for a caller that waits for other things.

    Args:
        release: the running process; its output and input are this one's.
        state: the home's folder of logs.
        key: signs them.
    """

    def __init__(self, release: Child, state: Path, key: LogKey) -> None:
        self._release = release
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._keep, args=(state, key), daemon=True)
        self._thread.start()

    def end(self) -> bytes:
        """Wait for the end of key release; returns what it printed on its standard error.

        Raises:
            Exception: why a decision was not recorded, most often a ``StrongroomError``; key
                release then refused.
        """
        stderr = self._release.process.stderr
        said = b"" if stderr is None else stderr.read()
        self._thread.join()
        self._release.process.wait()
        if self._failed is not None:
            raise self._failed
        return said

    def _keep(self, state: Path, key: LogKey) -> None:
        stdout = self._release.process.stdout
        if stdout is None:
            return
        try:
            for line in stdout:
                self._release.tell(record(state, key, line))
        except Exception as error:  # it is the caller's, at the end
            self._failed = error
        finally:
            self._release.hush()  # whatever happened, nobody waits for an answer of ours
        stdout.read()  # refusals, because of what has failed


def entry_of(line: bytes) -> KeyReleased | KeyRefused | LeaseRenewed | LeaseRefused:
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
    if made.lease is not None and made.assurance is not None:
        return _granted(made, made.lease.not_after, made.assurance)
    return _refused(made)


def _granted(made: Decision, until: int, assurance: str) -> KeyReleased | LeaseRenewed:
    common: dict[str, Any] = {
        "decision": made.decision,
        "manifest_digest": made.manifest_digest,
        "policy_digest": made.policy_digest,
        "evidence_kind": made.evidence_kind,
        "evidence_digest": made.evidence_sha256,
        "assurance": assurance,
        "lease_until": until,
        "service_key_id": made.service_key_id,
        "code": made.code,
        "configuration": made.configuration,
    }
    if made.outcome == "renewed":
        return LeaseRenewed(renews=made.renews, **common)
    return KeyReleased(key_id=made.key_id, key_kind=made.key_kind, **common)


def _refused(made: Decision) -> KeyRefused | LeaseRefused:
    common: dict[str, Any] = {
        "decision": made.decision,
        "reason": made.reason,
        "policy_digest": made.policy_digest,
        "service_key_id": made.service_key_id,
        "manifest_digest": made.manifest_digest,
        "evidence_kind": made.evidence_kind,
        "evidence_digest": made.evidence_sha256,
        "code": made.code,
        "configuration": made.configuration,
    }
    if made.renews:
        return LeaseRefused(renews=made.renews, **common)
    return KeyRefused(**common)
