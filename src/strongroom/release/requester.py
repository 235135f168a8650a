"""The workload's side of key release, without I/O: bytes in, bytes and at last a key out.

1. ``ask`` starts; a requester is good for one key.
2. ``request`` takes the challenge. Its signature is checked against the pinned service key before
   anything in it is believed; it must offer our suite and kind of evidence.
3. An ephemeral ML-KEM-768+X25519 key is made for this one answer. The runtime data (session,
   nonce, the service as audience, that key, the model) are encoded, and evidence that commits to
   them is produced.
4. ``accept`` takes the answer: signature first, then session, nonce, audience, model, evidence and
   lease are compared with what was sent, and only then is the key decrypted, under an ``info``
   computed from what was sent.
5. The ephemeral private key is dropped, whatever the outcome.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.errors import KeyRefused
from strongroom.keys import hpke_keys
from strongroom.keys.wiping import wipe
from strongroom.release import binding, messages, service_key
from strongroom.release.evidence import Attester
from strongroom.release.messages import Ask, Challenge, Lease, Refused, Release, Released, Runtime

_Expected = TypeVar("_Expected", Challenge, Released)


@dataclass(frozen=True, slots=True)
class Grant:
    """A released key and the terms it came with. The holder wipes the key."""

    key: DataKey
    lease: Lease
    decision: str
    assurance: str


@dataclass(frozen=True, slots=True)
class _Sent:
    runtime: Runtime
    evidence: bytes
    private: MLKEM768X25519PrivateKey


class Requester:
    """One request for one model's key.

    Args:
        recipients: the model's stanzas.
        context: what the stanzas are bound to.
        manifest_digest: SHA-256 (hex) of the model's manifest.
        attester: produces the evidence.
        service_key: the pinned raw Ed25519 public key of the service.
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        recipients: Sequence[Recipient],
        context: bytes,
        manifest_digest: str,
        attester: Attester,
        service_key: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._recipients = tuple(recipients)
        self._context = context
        self._manifest_digest = manifest_digest
        self._attester = attester
        self._service_key = service_key
        self._clock = clock
        self._sent: _Sent | None = None

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
        challenge = self._open(payload, Challenge)
        self._check_challenge(challenge)
        private, public = _ephemeral()
        runtime = Runtime(
            session=challenge.session,
            nonce=challenge.nonce,
            audience=challenge.service_key_id,
            tee_public=public,
            manifest_digest=self._manifest_digest,
            context=self._context,
        )
        encoded = msgspec.json.encode(runtime)
        evidence = self._attester.attest(binding.report_data(encoded))
        self._sent = _Sent(runtime, evidence, private)
        return msgspec.json.encode(Release(encoded, evidence, self._recipients))

    def accept(self, payload: bytes) -> Grant:
        """Steps 4 and 5: the key.

        Raises:
            KeyRefused: as ``request``, and ``release.answer_mismatch``, ``release.lease_over``,
                ``keys.altered``.
        """
        sent, self._sent = self._sent, None
        if sent is None:
            raise _refused("release.unexpected_answer", "An answer came without a request.")
        answer = self._open(payload, Released)
        _check_answer(answer, sent)
        if answer.lease.not_after <= self._clock():
            raise _refused("release.lease_over", "The lease of the released key is over already.")
        info = binding.info(
            sent.runtime.session,
            sent.runtime.nonce,
            sent.evidence,
            answer.policy_digest,
            answer.key_id,
        )
        key = hpke_keys.decrypt_key(answer.sealed, sent.private, info)
        return Grant(key, answer.lease, answer.decision, answer.assurance)

    def _open(self, payload: bytes, expected: type[_Expected]) -> _Expected:
        body = service_key.verify(payload, self._service_key)
        try:
            message = msgspec.json.decode(body, type=messages.ToWorkload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _refused(
                "release.malformed_answer", "The service's answer cannot be read."
            ) from None
        if isinstance(message, Refused):
            raise KeyRefused(message.code, message.message, action=message.action)
        if not isinstance(message, expected):
            raise _refused("release.unexpected_answer", "The service's answer is out of turn.")
        return message

    def _check_challenge(self, challenge: Challenge) -> None:
        if challenge.service_key_id != service_key.fingerprint(self._service_key):
            raise _refused("release.answer_mismatch", "The challenge names another service.")
        if (
            hpke_keys.SUITE_NAME not in challenge.suites
            or self._attester.kind not in challenge.evidence_kinds
        ):
            raise _refused(
                "release.no_common_method",
                "The service accepts neither our evidence nor our suite.",
            )


def _ephemeral() -> tuple[MLKEM768X25519PrivateKey, bytes]:
    seed = bytearray(os.urandom(hpke_keys.SEED_BYTES))
    try:
        return hpke_keys.private_key(seed)
    finally:
        wipe(seed)


def _check_answer(answer: Released, sent: _Sent) -> None:
    given = (
        answer.session,
        answer.nonce,
        answer.audience,
        answer.manifest_digest,
        answer.evidence_digest,
    )
    wanted = (
        sent.runtime.session,
        sent.runtime.nonce,
        sent.runtime.audience,
        sent.runtime.manifest_digest,
        binding.sha256(sent.evidence),
    )
    if given != wanted:
        raise _refused("release.answer_mismatch", "The answer belongs to another request.")


def _refused(code: str, message: str) -> KeyRefused:
    return KeyRefused(
        code,
        message,
        action="Check that the pinned key-release service is the one that answers.",
    )
