"""What a workload checks of an answer before it believes anything in it. Pure.

1. The signature must be the pinned service key's, over the very bytes received.
2. A challenge must be of that service, and offer our suite and our kind of evidence.
3. An answer must name the session, nonce, audience, model and evidence that were sent.
4. A lease must have some length, and its times be in order. Which moments of the service's clock
   they name does not matter: only lengths are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from strongroom.artifact.recipients import Recipient
from strongroom.errors import KeyRefused
from strongroom.keys import hpke_keys
from strongroom.release import binding, messages, service_key
from strongroom.release.evidence import Attester
from strongroom.release.messages import Challenge, Lease, Refused, Released, Renewed, Runtime

Answer = Challenge | Released | Renewed | Refused
_Expected = TypeVar("_Expected", Challenge, Released, Renewed)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model's key: its stanzas and what they are bound to, and what its manifest says."""

    recipients: tuple[Recipient, ...]
    context: bytes
    model: str
    release: int
    manifest_digest: str


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks whom: what produces our evidence, and the raw public key of the service."""

    attester: Attester
    service_key: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request said: its runtime data, as sent too, the evidence of guest and devices."""

    runtime: Runtime
    encoded: bytes
    evidence: bytes
    additional: bytes


def opened(payload: bytes, public: bytes) -> Answer:
    """Rule 1: what the service says.

    Raises:
        KeyRefused: ``release.malformed_answer`` or ``release.bad_signature``.
    """
    body = service_key.verify(payload, public)
    try:
        message: Answer = msgspec.json.decode(body, type=messages.ToWorkload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refused("release.malformed_answer", "The service's answer cannot be read.") from None
    return message


def expected(message: Answer, kind: type[_Expected]) -> _Expected:
    """The answer, if it is of this kind.

    Raises:
        KeyRefused: the service's own code if it refused; ``release.unexpected_answer``.
    """
    if isinstance(message, Refused):
        raise KeyRefused(message.code, message.message, action=message.action)
    if not isinstance(message, kind):
        raise refused("release.unexpected_answer", "The service's answer is out of turn.")
    return message


def attested(
    asking: Asking, challenge: Challenge, wanted: Wanted, tee_public: bytes, renews: str = ""
) -> Sent:
    """Rule 2, and then the request: runtime data, and evidence that commits to them.

    Raises:
        KeyRefused: ``release.answer_mismatch`` or ``release.no_common_method``.
        StrongroomError: the attester's.
    """
    _check_challenge(challenge, asking)
    runtime = Runtime(
        session=challenge.session,
        nonce=challenge.nonce,
        audience=challenge.service_key_id,
        tee_public=tee_public,
        model=wanted.model,
        release=wanted.release,
        manifest_digest=wanted.manifest_digest,
        context=wanted.context,
        renews=renews,
    )
    encoded = msgspec.json.encode(runtime)
    additional = asking.attester.devices(binding.device_nonce(runtime, encoded))
    bound = binding.report_data(runtime, encoded, additional)
    return Sent(runtime, encoded, asking.attester.attest(bound), additional)


def check(answer: Released | Renewed, sent: Sent) -> None:
    """Rule 3; ``release.answer_mismatch``."""
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
        raise refused("release.answer_mismatch", "The answer belongs to another request.")


def check_lease(lease: Lease) -> None:
    """Rule 4; ``release.lease_over``."""
    ordered = lease.issued_at <= lease.renew_before <= lease.not_after
    if not ordered or lease.issued_at == lease.not_after:
        raise refused("release.lease_over", "The lease that was granted is over already.")


def refused(code: str, message: str) -> KeyRefused:
    """A refusal of ours, of what may not be the service that we mean."""
    return KeyRefused(
        code,
        message,
        action="Check that the pinned key-release service is the one that answers.",
    )


def _check_challenge(challenge: Challenge, asking: Asking) -> None:
    if challenge.service_key_id != service_key.fingerprint(asking.service_key):
        raise refused("release.answer_mismatch", "The challenge names another service.")
    if (
        hpke_keys.SUITE_NAME not in challenge.suites
        or asking.attester.kind not in challenge.evidence_kinds
    ):
        raise refused(
            "release.no_common_method",
            "The service accepts neither our evidence nor our suite.",
        )
