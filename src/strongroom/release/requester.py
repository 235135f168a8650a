"""The workload's side of key release, without I/O: bytes in, bytes and at last a key out.

1. ``ask`` starts; a requester is good for one key.
2. ``request`` takes the challenge. Its signature is checked against the pinned service key before
   anything in it is believed; it must offer our suite and kind of evidence.
3. An ephemeral ML-KEM-768+X25519 key is made for this one answer. The runtime data (session,
   nonce, the service as audience, that key, the model) are encoded; the devices answer a nonce
   derived from them, and then the guest's evidence commits to them and to the devices' answer.
4. ``accept`` takes the answer: signature first, then session, nonce, audience, model, evidence and
   lease are compared with what was sent, and only then is the key decrypted, under an ``info``
   computed from what was sent.
5. The ephemeral private key is dropped, whatever the outcome.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.keys import hpke_keys
from strongroom.keys.wiping import wipe
from strongroom.release import answers, binding
from strongroom.release.answers import Asking, Sent, Wanted, refused
from strongroom.release.evidence import Attester
from strongroom.release.messages import Ask, Challenge, Lease, Release, Released
from strongroom.release.renewal import Renewer


@dataclass(frozen=True, slots=True)
class Grant:
    """A released key and the terms it came with. The holder wipes the key.

    ``renewer`` asks for longer terms, over the same connection or another.
    """

    key: DataKey
    lease: Lease
    decision: str
    assurance: str
    renewer: Renewer


class Requester:
    """One request for one model's key.

    Args:
        recipients: the model's stanzas.
        context: what the stanzas are bound to.
        model: the model's id, and
        release: its release, as its manifest says.
        manifest_digest: SHA-256 (hex) of the model's manifest.
        attester: produces the evidence.
        service_key: the pinned raw Ed25519 public key of the service.
    """

    def __init__(
        self,
        *,
        recipients: Sequence[Recipient],
        context: bytes,
        model: str,
        release: int,
        manifest_digest: str,
        attester: Attester,
        service_key: bytes,
    ) -> None:
        self._wanted = Wanted(tuple(recipients), context, model, release, manifest_digest)
        self._asking = Asking(attester, service_key)
        self._sent: tuple[Sent, MLKEM768X25519PrivateKey] | None = None

    def ask(self) -> bytes:
        """Step 1: the message that asks for a challenge."""
        return msgspec.json.encode(Ask())

    def request(self, payload: bytes) -> bytes:
        """Steps 2 and 3: the request that answers a challenge.

        Raises:
            KeyRefused: ``release.malformed_answer``, ``release.bad_signature``,
                ``release.unexpected_answer``, ``release.no_common_method``, or the service's own
                code if it refused.
        """
        message = answers.opened(payload, self._asking.service_key)
        challenge = answers.expected(message, Challenge)
        private, public = _ephemeral()
        sent = answers.attested(self._asking, challenge, self._wanted, public)
        self._sent = sent, private
        recipients = self._wanted.recipients
        return msgspec.json.encode(
            Release(sent.encoded, sent.evidence, recipients, sent.additional)
        )

    def accept(self, payload: bytes) -> Grant:
        """Steps 4 and 5: the key.

        Raises:
            KeyRefused: as ``request``, and ``release.answer_mismatch``, ``release.lease_over``,
                ``keys.altered``.
        """
        held, self._sent = self._sent, None
        if held is None:
            raise refused("release.unexpected_answer", "An answer came without a request.")
        sent, private = held
        message = answers.opened(payload, self._asking.service_key)
        answer = answers.expected(message, Released)
        answers.check(answer, sent)
        answers.check_lease(answer.lease)
        info = binding.info(
            sent.runtime.session,
            sent.runtime.nonce,
            sent.evidence,
            answer.policy_digest,
            answer.key_id,
        )
        key = hpke_keys.decrypt_key(answer.sealed, private, info)
        renewer = Renewer(self._asking, self._wanted, sent.runtime.tee_public, answer.decision)
        return Grant(key, answer.lease, answer.decision, answer.assurance, renewer)


def _ephemeral() -> tuple[MLKEM768X25519PrivateKey, bytes]:
    seed = bytearray(os.urandom(hpke_keys.SEED_BYTES))
    try:
        return hpke_keys.private_key(seed)
    finally:
        wipe(seed)
