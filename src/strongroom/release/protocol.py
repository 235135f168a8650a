"""The service's side of key release, without I/O: bytes in, bytes and one record out.

1. A connection is a session with a random id. Its state is its one outstanding nonce.
2. ``Ask`` is answered with a signed ``Challenge``: a fresh 32-byte nonce that replaces the
   session's earlier one and lives 60 seconds at most. A session gets 64 challenges.
3. A message that is oversized, malformed, has an unknown field or comes out of turn voids the
   session's nonce, is refused, and ends the session.
4. ``Release``: the nonce that its runtime data name is consumed before anything else is judged,
   so that it cannot be tried twice, not even at the same moment. It must be live, and of this
   session; the runtime data must name this session and, as audience, this service.
5. Evidence whose digest was seen before is refused.
6. The evidence is judged on the bytes received (``judging``): who sent it, what it commits to,
   whether the policy allows it. No approvals are taken yet, so a policy that wants any denies.
7. The first stanza that one of the service's keys opens yields the data key. The stanza's context
   is the runtime's, to which the evidence commits.
8. The data key is encrypted to the ephemeral key of the runtime data, with ``info`` that names
   session, nonce, evidence, policy and key; then the service's copy is overwritten.
9. The decision is recorded. If it cannot be recorded, nothing is released.
10. The answer, ``Released`` or ``Refused`` with its code, is signed with the service's key.

A refusal of rule 4 to 9 does not end the session: the workload may ask for another challenge.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.attest.interface import Facts
from strongroom.attest.local import Peer
from strongroom.errors import KeyRefused, StrongroomError
from strongroom.keys import hpke_keys
from strongroom.keys.interface import KeyWrapper
from strongroom.release import binding, judging, messages
from strongroom.release.messages import Ask, Challenge, Lease, Refused, Release, Released, Runtime
from strongroom.release.nonces import LIFETIME_SECONDS, NonceRegistry
from strongroom.release.policies.document import Document
from strongroom.release.policies.engine import Engine
from strongroom.release.record import Decision
from strongroom.release.service_key import ServiceKey

MAX_CHALLENGES = 64
DEFAULT_LEASE_SECONDS = 24 * 3600


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
        lease_seconds: how long a released key may be used.
        clock: both clocks, for tests to turn.
    """

    def __init__(
        self,
        *,
        service_key: ServiceKey,
        unlockers: Sequence[KeyWrapper],
        policy: Document,
        record: Callable[[Decision], None],
        lease_seconds: int = DEFAULT_LEASE_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._service_key = service_key
        self._unlockers = tuple(unlockers)
        self._policy = Engine(policy)
        self._record = record
        self._lease_seconds = lease_seconds
        self._clock = clock or Clock()
        self._nonces = NonceRegistry()

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
            message = _decode(payload, session)
            if isinstance(message, Ask):
                return self._service_key.sign(msgspec.json.encode(self._challenge(session)))
            runtime = _decode_runtime(message.runtime)
        except KeyRefused as refusal:  # rule 3
            self.close_session(session)
            return self._refuse(noted, session, refusal)
        try:
            released = self._release(session, message, runtime, peer, noted)
            self._keep(noted)
        except StrongroomError as refusal:
            return self._refuse(noted, session, refusal)
        return self._service_key.sign(msgspec.json.encode(released))

    def _challenge(self, session: Session) -> Challenge:
        """Rule 2."""
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

    def _release(
        self,
        session: Session,
        message: Release,
        runtime: Runtime,
        peer: Peer | None,
        noted: Decision,
    ) -> Released:
        """Rules 4 to 8."""
        noted.nonce_sha256 = binding.sha256(runtime.nonce)
        noted.manifest_digest = runtime.manifest_digest
        self._nonces.consume(session.id, runtime.nonce, self._clock.monotonic())  # rule 4
        if runtime.session != session.id:
            raise _refused("release.other_session", "The request names another session.", _ANEW)
        if runtime.audience != self._service_key.key_id:
            raise _refused(
                "release.other_audience", "The request is meant for another service.", _ANEW
            )
        noted.evidence_sha256 = binding.sha256(message.evidence)
        self._nonces.remember_evidence(noted.evidence_sha256)  # rule 5
        facts = judging.verify(message.evidence, message.runtime, peer)  # rule 6
        _note_facts(noted, facts)
        verdict = judging.decide(self._policy, facts, runtime.manifest_digest)
        noted.because = tuple(verdict.because)
        recipient, key = self._unlock(message.recipients, runtime.context)  # rule 7
        try:
            return self._seal(session, message, runtime, recipient, key, facts, noted)  # rule 8
        finally:
            key.wipe()

    def _unlock(self, recipients: Sequence[Recipient], context: bytes) -> tuple[Recipient, DataKey]:
        """Rule 7: a stanza that fails does not stop another one from being tried."""
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

    def _seal(
        self,
        session: Session,
        message: Release,
        runtime: Runtime,
        recipient: Recipient,
        key: DataKey,
        facts: Facts,
        noted: Decision,
    ) -> Released:
        """Rule 8."""
        lease = self._lease()
        info = binding.info(
            session.id, runtime.nonce, message.evidence, self._policy.digest, recipient.key_id
        )
        sealed = hpke_keys.encrypt(key.reveal(TOKEN), runtime.tee_public, info)
        noted.outcome, noted.assurance, noted.lease = "released", facts.assurance, lease
        noted.key_kind, noted.key_id = recipient.kind, recipient.key_id
        noted.suite = hpke_keys.SUITE_NAME
        return Released(
            decision=noted.decision,
            session=session.id,
            nonce=runtime.nonce,
            audience=runtime.audience,
            manifest_digest=runtime.manifest_digest,
            evidence_digest=noted.evidence_sha256,
            policy_digest=self._policy.digest,
            key_id=recipient.key_id,
            suite=hpke_keys.SUITE_NAME,
            sealed=sealed,
            lease=lease,
            assurance=facts.assurance,
        )

    def _lease(self) -> Lease:
        now = int(self._clock.wall())
        # A quarter of the time is left to ask again while the old lease still holds.
        return Lease(now + self._lease_seconds, now + self._lease_seconds * 3 // 4)

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
                )
            )
        )


_ANEW = "Ask for a new challenge and answer that one."


def _decode(payload: bytes, session: Session) -> Ask | Release:
    if session.ended:
        raise _refused("release.session_ended", "The session has ended.", "Connect again.")
    if len(payload) > messages.MAX_MESSAGE_BYTES:
        raise _refused("release.oversized", "The message is too large.", "Send fewer recipients.")
    try:
        message: Ask | Release = msgspec.json.decode(payload, type=messages.ToService)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed("message") from None
    return message


def _decode_runtime(encoded: bytes) -> Runtime:
    try:
        return msgspec.json.decode(encoded, type=Runtime)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed("runtime data") from None


def _note_facts(noted: Decision, facts: Facts) -> None:
    noted.evidence_kind = facts.kind
    noted.code = facts.measurements.get("code", "")
    noted.configuration = facts.measurements.get("configuration", "")
    noted.kernel = str(facts.claims.get("kernel", ""))


def _malformed(what: str) -> KeyRefused:
    return _refused(
        "release.malformed", f"The {what} cannot be read.", "Use a client of this protocol version."
    )


def _refused(code: str, message: str, action: str) -> KeyRefused:
    return KeyRefused(code, message, action=action)
