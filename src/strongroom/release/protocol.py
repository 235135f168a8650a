"""The service's side of key release, without I/O: bytes in, bytes and one record out.

1. A connection is a session with a random id. Its state is its one outstanding nonce.
2. ``Ask`` is answered with a signed ``Challenge``: a fresh 32-byte nonce that replaces the
   session's earlier one and lives 60 seconds at most. A session gets 64 challenges and ends when it
   asks for more; where there is no room for one now, that is refused and the session goes on.
3. A message that is oversized, malformed, has an unknown field or comes out of turn voids the
   session's nonce, is refused, and ends the session.
4. ``Release`` and ``Renew``: the nonce that the runtime data name is consumed before anything else
   is judged, so that it cannot be tried twice, not even at the same moment. It must be live, and of
   this session; the runtime data must name this session and, as audience, this service, and the
   lease to be renewed if it is that which is asked. A service for one model releases no other's
   key, whatever its policy says.
5. Evidence whose digest was seen before is refused.
6. The evidence is judged on the bytes received (``judging``): whether it is genuine, what it
   commits to, who approved the release where the policy demands that, what the policy says; then,
   whether the model or what it was made from is revoked (``lineage``). A release by approvals is
   leased no longer than they last (``leases``). A renewal ends here: no key is touched for it.
7. The first stanza that one of the service's keys opens yields the data key. The stanza's context
   is the runtime's, to which the evidence commits.
8. The data key is encrypted to the ephemeral key of the runtime data, with ``info`` that names
   session, nonce, evidence, policy and key; then the service's copy is overwritten.
9. The decision is recorded. If it cannot be recorded, nothing is released.
10. The answer, ``Released``, ``Renewed`` or ``Refused`` with its code, is signed with the
    service's key. A refusal that is no judgement says so (``passing``).
11. A service for one workload forgets its keys once it has released one: renewals need none.

A refusal of rule 4 to 9 does not end the session: the workload may ask for another challenge. What
is granted begins the count of challenges anew.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.attest.local import Peer
from strongroom.errors import AttestationRefused, KeyRefused, StrongroomError
from strongroom.keys import hpke_keys
from strongroom.keys.interface import KeyWrapper
from strongroom.release import binding, judging, leases, messages, reading
from strongroom.release.judging import Asked, CountApprovals
from strongroom.release.lineage import Standing
from strongroom.release.messages import (
    Ask,
    Challenge,
    Refused,
    Release,
    Released,
    Renew,
    Renewed,
    Runtime,
)
from strongroom.release.nonces import LIFETIME_SECONDS, NonceRegistry
from strongroom.release.policies.document import Document
from strongroom.release.policies.engine import Engine
from strongroom.release.record import Decision
from strongroom.release.service_key import ServiceKey
from strongroom.store.lineage import Named

MAX_CHALLENGES = 64
_PASSING = frozenset(
    {
        *("release.busy", "release.record_failed", "release.too_many_challenges"),
        *("release.nonce_unknown", "release.nonce_expired", "release.nonce_other_session"),
    }
)
"""What is refused with these codes may be granted at the next try."""

_Given = TypeVar("_Given")


@dataclass(slots=True)
class Session:
    """One workload's connection, as the service knows it."""

    id: bytes
    challenges: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall clock (Unix seconds) for what is told, monotonic seconds for what is enforced."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class ReleaseService:
    """Decides releases. One object serves any number of sessions, from any number of threads.

    Args:
        service_key: signs every answer.
        unlockers: the keys that can unwrap stanzas; tried in this order.
        policy: which workloads may have a key.
        record: called with each decision before its answer leaves; if it raises, nothing does.
        approvals: who counts approvals; without one a policy that demands any denies.
        standing: who knows which models are revoked; without one none is.
        manifest: the one model (digest) whose key may leave; empty means any.
        once: forget the unlockers after the first release (rule 11).
        nonces: outstanding nonces, where another wire shares them.
        clock: both clocks, for tests to turn.
    """

    def __init__(
        self,
        *,
        service_key: ServiceKey,
        unlockers: Sequence[KeyWrapper],
        policy: Document,
        record: Callable[[Decision], None],
        approvals: CountApprovals | None = None,
        standing: Standing | None = None,
        manifest: str = "",
        once: bool = False,
        nonces: NonceRegistry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._service_key = service_key
        self._unlockers = tuple(unlockers)
        self._policy = Engine(policy)
        self._record = record
        self._approvals = approvals
        self._manifest = manifest
        self._standing = standing
        self._once = once
        self._clock = clock or Clock()
        self._nonces = nonces or NonceRegistry()

    def open_session(self) -> Session:
        """Rule 1."""
        return Session(os.urandom(messages.SESSION_BYTES))

    def close_session(self, session: Session) -> None:
        """The connection is gone, and with it the session's nonce."""
        session.ended = True
        self._nonces.void(session.id)

    def answer(self, session: Session, payload: bytes, peer: Peer | None) -> bytes:
        """The signed answer to one message; ``session.ended`` says whether to hang up after it.

        Args:
            session: the session it came in.
            payload: the message as received.
            peer: who sent it, as the kernel says; None if it did not say.
        """
        noted = self._draft(session, peer)
        try:
            if session.ended:
                raise _refused("release.session_ended", "The session has ended.", "Connect again.")
            message = reading.message(payload)
            if isinstance(message, Ask):
                return self._service_key.sign(msgspec.json.encode(self._challenge(session)))
            runtime = reading.runtime(message.runtime)
        except KeyRefused as refusal:
            if refusal.code != "release.busy":  # rule 2; all others, rule 3
                self.close_session(session)
            return self._refuse(noted, session, refusal)
        try:
            granted = self._grant(session, message, runtime, peer, noted)
            self._keep(noted)
        except StrongroomError as refusal:
            return self._refuse(noted, session, refusal)
        session.challenges = 0
        if self._once and noted.outcome == "released":
            self._forget_keys()  # rule 11
        return self._service_key.sign(msgspec.json.encode(granted))

    def unlock(self, recipients: Sequence[Recipient], context: bytes) -> tuple[Recipient, DataKey]:
        """Rule 7, also for a wire that judges by itself; a stanza that fails stops no other one."""
        refusal = _refused(
            "release.no_recipient",
            "None of the model's stanzas is for a key that this service holds.",
            "Rewrap the model for this service, or give the service the key.",
        )
        for unlocker in self._unlockers:
            for recipient in recipients:
                if not unlocker.holds(recipient):
                    continue
                try:
                    return recipient, unlocker.unwrap(recipient, context)
                except KeyRefused as failed:
                    refusal = failed
        raise refusal

    def _challenge(self, session: Session) -> Challenge:
        """Rule 2.

        Raises:
            KeyRefused: ``release.too_many_challenges`` or ``release.busy``.
        """
        session.challenges += 1
        if session.challenges > MAX_CHALLENGES:
            raise _refused(
                "release.too_many_challenges",
                "This session asked for too many challenges.",
                "Find out why the workload keeps being refused; the records tell.",
            )
        nonce = os.urandom(messages.NONCE_BYTES)
        self._nonces.issue(session.id, nonce, self._clock.monotonic())
        return Challenge(
            session=session.id,
            nonce=nonce,
            expires_at=int(self._clock.wall()) + LIFETIME_SECONDS,
            service_key_id=self._service_key.key_id,
            evidence_kinds=judging.KINDS,
            suites=(hpke_keys.SUITE_NAME,),
        )

    def _grant(
        self,
        session: Session,
        message: Release | Renew,
        runtime: Runtime,
        peer: Peer | None,
        noted: Decision,
    ) -> Released | Renewed:
        """Rules 4 to 8."""
        noted.nonce_sha256 = binding.sha256(runtime.nonce)
        noted.model, noted.release = runtime.model, runtime.release
        noted.manifest_digest, noted.renews = runtime.manifest_digest, runtime.renews
        self._nonces.consume(session.id, runtime.nonce, self._clock.monotonic())  # rule 4
        self._check_names(session, message, runtime)
        noted.evidence_sha256 = binding.sha256(message.evidence)
        self._nonces.remember_evidence(noted.evidence_sha256)  # rule 5
        if message.additional:
            noted.additional_sha256 = binding.sha256(message.additional)
        self._judge(Asked(message, runtime, peer, int(self._clock.wall())), noted)
        if isinstance(message, Renew):
            return self._renewed(runtime, noted)
        recipient, key = self.unlock(message.recipients, runtime.context)  # rule 7
        noted.key_kind, noted.key_id = recipient.kind, recipient.key_id
        try:
            return self._seal(message, runtime, key, noted)  # rule 8
        finally:
            key.wipe()

    def _check_names(self, session: Session, message: Release | Renew, runtime: Runtime) -> None:
        """The rest of rule 4."""
        if runtime.session != session.id:
            raise _refused("release.other_session", "The request names another session.", _ANEW)
        if runtime.audience != self._service_key.key_id:
            raise _refused(
                "release.other_audience", "The request is meant for another service.", _ANEW
            )
        if isinstance(message, Renew) != bool(runtime.renews):
            raise _refused(
                "release.other_purpose",
                "The runtime data were made to ask for something else than the message asks.",
                "Name the lease to be renewed in a renewal, and none in a request for a key.",
            )
        if self._manifest and runtime.manifest_digest != self._manifest:
            raise _refused(
                "release.other_model",
                "This service was started for another model.",
                "Start one for this model, or ask the service that is meant for it.",
            )

    def _judge(self, asked: Asked, noted: Decision) -> None:
        """Rule 6."""
        runtime = asked.runtime
        facts = judging.verify(asked, self._policy)
        noted.note(facts)
        tally = judging.approvals(self._policy, runtime, self._approvals)
        count, until = 0, None
        if tally is not None:
            noted.grant, noted.approvers = tally.request, tally.approvers
            count = len(tally.approvers)
            until = tally.until(self._policy.document.allow.approvals)
        verdict = self._policy.decide(facts, manifest=runtime.manifest_digest, approvals=count)
        noted.because = tuple(verdict.because)  # what denies is recorded as well
        judging.require(verdict)
        if self._standing is not None:
            self._standing(Named(runtime.model, runtime.release, runtime.manifest_digest))
        noted.assurance = facts[0].assurance
        noted.lease = leases.lease(self._policy.document.lease, asked.now, until)

    def _renewed(self, runtime: Runtime, noted: Decision) -> Renewed:
        noted.outcome = "renewed"
        return Renewed(
            decision=noted.decision,
            renews=runtime.renews,
            session=runtime.session,
            nonce=runtime.nonce,
            audience=runtime.audience,
            manifest_digest=runtime.manifest_digest,
            evidence_digest=noted.evidence_sha256,
            policy_digest=self._policy.digest,
            lease=_given(noted.lease),
            assurance=_given(noted.assurance),
        )

    def _seal(
        self,
        message: Release,
        runtime: Runtime,
        key: DataKey,
        noted: Decision,
    ) -> Released:
        """Rule 8."""
        info = binding.info(
            runtime.session, runtime.nonce, message.evidence, self._policy.digest, noted.key_id
        )
        sealed = hpke_keys.encrypt(key.reveal(TOKEN), runtime.tee_public, info)
        noted.outcome, noted.suite = "released", hpke_keys.SUITE_NAME
        return Released(
            decision=noted.decision,
            session=runtime.session,
            nonce=runtime.nonce,
            audience=runtime.audience,
            manifest_digest=runtime.manifest_digest,
            evidence_digest=noted.evidence_sha256,
            policy_digest=self._policy.digest,
            key_id=noted.key_id,
            suite=hpke_keys.SUITE_NAME,
            sealed=sealed,
            lease=_given(noted.lease),
            assurance=_given(noted.assurance),
        )

    def _forget_keys(self) -> None:
        """Rule 11."""
        unlockers, self._unlockers = self._unlockers, ()
        for unlocker in unlockers:
            unlocker.close()

    def _draft(self, session: Session, peer: Peer | None) -> Decision:
        noted = Decision(
            time=int(self._clock.wall()),
            decision=str(uuid.uuid4()),
            service_key_id=self._service_key.key_id,
            policy_digest=self._policy.digest,
            session=session.id.hex(),
        )
        if peer is not None:
            noted.pid, noted.uid = peer.pid, peer.uid
        return noted

    def _keep(self, noted: Decision) -> None:
        """Rule 9."""
        try:
            self._record(noted)
        except Exception as error:
            raise _refused(
                "release.record_failed",
                f"The decision could not be recorded ({type(error).__name__}).",
                "Make room for the record, or repair what keeps it.",
            ) from None

    def _refuse(self, noted: Decision, session: Session, refusal: StrongroomError) -> bytes:
        """Rule 10 for a refusal, which stands even if it cannot be recorded."""
        noted.outcome, noted.reason = "refused", refusal.code
        noted.assurance = noted.lease = None
        with suppress(KeyRefused):
            self._keep(noted)
        return self._service_key.sign(
            msgspec.json.encode(
                Refused(
                    decision=noted.decision,
                    session=session.id,
                    code=refusal.code,
                    message=refusal.message,
                    action=refusal.action,
                    passing=_is_passing(refusal),
                )
            )
        )


def _is_passing(refusal: StrongroomError) -> bool:
    """Whether nothing was judged: a store, a file or a library failed, or a challenge was spent."""
    judged = isinstance(refusal, KeyRefused | AttestationRefused)
    return not judged or refusal.code in _PASSING


def _given(value: _Given | None) -> _Given:
    """What rule 6 has filled in."""
    if value is None:
        raise RuntimeError("granted before it was judged")
    return value


_ANEW = "Ask for a new challenge and answer that one."


def _refused(code: str, message: str, action: str) -> KeyRefused:
    return KeyRefused(code, message, action=action)
