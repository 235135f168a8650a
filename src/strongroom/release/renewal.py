"""The workload's side of a lease's renewal, without I/O: messages in, messages and a lease out.

1. ``ask`` starts a try and forgets the one before.
2. ``take`` a challenge: it is checked as for a key, and answered with fresh evidence. The runtime
   data name the decision that released the key and the public key that it was encrypted to; no key
   is asked for, and none is sent.
3. ``take`` the answer: it must be the service's, about what was sent, and a lease that ends after
   it was issued. Then it is the new one.
4. A refusal that the service signed ends the lease, unless the service says that it is a passing
   one. It must name the session of the challenge, if there was one: an old refusal, sent again,
   ends nothing.

What is not the service's, or is out of turn, raises; the caller tries again.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from strongroom.errors import KeyRefused
from strongroom.release import answers
from strongroom.release.answers import Asking, Sent, Wanted, refused
from strongroom.release.messages import Ask, Challenge, Lease, Refused, Renew, Renewed


@dataclass(frozen=True, slots=True)
class Answered:
    """What a message led to: one to send, a new lease, or (final) a refusal."""

    send: bytes = b""
    lease: Lease | None = None
    refusal: KeyRefused | None = None


class Renewer:
    """Renews the lease of one released key, any number of times.

    Args:
        asking: who asks whom.
        wanted: the model.
        tee_public: the public key that the released key was encrypted to.
        decision: the decision that released it.
    """

    def __init__(self, asking: Asking, wanted: Wanted, tee_public: bytes, decision: str) -> None:
        self._asking, self._wanted = asking, wanted
        self._tee_public, self._decision = tee_public, decision
        self._sent: Sent | None = None

    def ask(self) -> bytes:
        """Step 1: the message that asks for a challenge."""
        self._sent = None
        return msgspec.json.encode(Ask())

    def take(self, payload: bytes) -> Answered:
        """Steps 2 to 4.

        Raises:
            KeyRefused: ``release.malformed_answer``, ``release.bad_signature``,
                ``release.unexpected_answer``, ``release.answer_mismatch``,
                ``release.no_common_method``, ``release.lease_over``, or the service's own code if
                its refusal is a passing one.
        """
        message = answers.opened(payload, self._asking.service_key)
        if isinstance(message, Refused):
            return self._refused(message)
        if self._sent is None:
            return self._answer(answers.expected(message, Challenge))
        sent, self._sent = self._sent, None
        renewed = answers.expected(message, Renewed)
        answers.check(renewed, sent)
        if renewed.renews != self._decision:
            raise refused("release.answer_mismatch", "The answer belongs to another lease.")
        answers.check_lease(renewed.lease)
        return Answered(lease=renewed.lease)

    def _answer(self, challenge: Challenge) -> Answered:
        """Step 2."""
        sent = answers.attested(
            self._asking, challenge, self._wanted, self._tee_public, self._decision
        )
        self._sent = sent
        return Answered(
            send=msgspec.json.encode(Renew(sent.encoded, sent.evidence, sent.additional))
        )

    def _refused(self, message: Refused) -> Answered:
        """Step 4."""
        sent, self._sent = self._sent, None
        refusal = KeyRefused(message.code, message.message, action=message.action)
        if message.passing or sent is None or message.session != sent.runtime.session:
            raise refusal
        return Answered(refusal=refusal)
