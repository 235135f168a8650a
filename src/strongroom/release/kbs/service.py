"""The KBS protocol's state machine, without I/O: bodies and handles in, answers and records out.

1. ``auth``: a request of exactly version 0.4.0, for a kind of evidence that is taken, begins a
   session and is answered with a challenge: a nonce that works once, for 60 seconds.
2. ``attest``: the nonce that the runtime data name is used up before anything else is judged. It
   must be live and of this session. So a session is attested once: a second attempt gets neither
   a judgement nor the earlier token.
3. The guest's public key must be of a kind that resources are encrypted to.
4. Evidence that was seen before is refused.
5. The evidence of the CPU and of the devices is verified (``attest``), with the operator's
   collateral. The CPU's report data must be the digest of public key, nonce and devices' evidence,
   and the devices must have answered the digest of public key and nonce, so that one commits to
   the other (``binding``).
6. The answer is an EAR token, for this service as audience, with the guest's key in it.
7. ``resource``: by the cookie, or by the very token that the session was given; a token of
   somebody else's, or of another session, is none. At most 64 a session.
8. The release policy judges the facts for the model whose key this is. If it demands approvals,
   they are counted now. A model that is revoked, or made from one that is, is refused.
9. The key is unwrapped, encrypted to the guest's key, and the service's copy overwritten.
10. Each refusal in a session, from rule 2 on, and each release is recorded. If a release cannot be
    recorded, nothing is released.

The protocol knows no lease: a guest keeps the key until it ends. The record says so by the lease 0.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.secret_access import TOKEN
from strongroom.attest import registry
from strongroom.attest.nvidia.nonce import gpu_nonce
from strongroom.errors import KeyRefused, StrongroomError
from strongroom.release.ear import token as ear
from strongroom.release.ear.token_key import TokenKey
from strongroom.release.judging import CountApprovals, require
from strongroom.release.kbs import binding, jwe, messages, tee_key
from strongroom.release.kbs.evidence import PRIMARY, Collateral
from strongroom.release.kbs.messages import Attestation, Request
from strongroom.release.kbs.reasons import refuse
from strongroom.release.kbs.resources import Resource, Resources
from strongroom.release.kbs.sessions import Attested, Session, Sessions
from strongroom.release.lineage import Standing
from strongroom.release.messages import NONCE_BYTES, Lease
from strongroom.release.nonces import NonceRegistry
from strongroom.release.policies.document import Document
from strongroom.release.policies.engine import Engine
from strongroom.release.record import Decision
from strongroom.store.lineage import Named

_NO_LEASE = Lease(issued_at=0, not_after=0, renew_before=0)


Unlock = Callable[[Sequence[Recipient], bytes], tuple[Recipient, DataKey]]
"""From a model's stanzas and their context to the stanza that could be opened, and the key."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of.

    ``issuer`` names it in tokens and in the record: the key id of the service. Without
    ``approvals`` nobody approves, without ``standing`` no model is revoked.
    """

    policy: Document
    resources: Resources
    collateral: Collateral
    token_key: TokenKey
    issuer: str
    unlock: Unlock
    record: Callable[[Decision], None]
    approvals: CountApprovals | None = None
    standing: Standing | None = None


class KbsService:
    """Answers guests. One object serves any number of them, from any number of threads.

    Args:
        parts: what it is made of.
        nonces: outstanding nonces, where another wire shares them.
        wall: Unix seconds, for what is told and judged.
        monotonic: seconds, for what is enforced.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        nonces: NonceRegistry | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parts
        self._engine = Engine(parts.policy)
        self._wall, self._monotonic = wall, monotonic
        self._sessions = Sessions()
        self._nonces = nonces or NonceRegistry()

    def auth(self, body: bytes) -> tuple[Session, dict[str, Any]]:
        """Rule 1: the new session, and the challenge for it.

        Raises:
            KeyRefused: ``release.kbs_oversized``, ``release.kbs_malformed``,
                ``release.kbs_version``, ``release.kbs_tee``, ``release.kbs_selector``,
                ``release.busy``.
        """
        request = messages.decode(body, Request)
        if request.version != messages.VERSION:
            raise refuse("release.kbs_version")
        _check_parameters(request)
        now = self._monotonic()
        raw = os.urandom(NONCE_BYTES)
        nonce = base64.b64encode(raw).decode("ascii")
        session = self._sessions.begin(request.tee, nonce, now)
        self._nonces.issue(session.id, raw, now)
        # No hash is chosen, which makes it SHA-384.
        return session, {"nonce": nonce, "extra-params": ""}

    def attest(self, cookie: str | None, body: bytes) -> tuple[Session, dict[str, str]]:
        """Rules 2 to 6: the session, and the answer with its token.

        Raises:
            StrongroomError: ``release.kbs_*``, the codes of ``nonces``, or a verifier's.
        """
        now = self._monotonic()
        session = self._sessions.find(cookie, None, now)
        noted = self._draft(session)
        try:
            sent = self._answer(session, body, now)
            attested = self._judge(session, sent, noted)
        except StrongroomError as refusal:
            self._refused(noted, refusal)
            raise
        token = ear.issue(  # rule 6
            attested.facts,
            self._parts.policy,
            key=self._parts.token_key,
            issuer=self._parts.issuer,
            audience=self._parts.issuer,
            token_id=noted.decision,
            nonce=base64.b64decode(session.nonce),
            now=int(self._wall()),
            more={
                "tee-pubkey": sent.runtime_data.tee_pubkey,
                "jwk": {**self._parts.token_key.jwk, "alg": "ES256"},
            },
        )
        self._sessions.attest(session, attested, token, self._monotonic())
        return session, {"token": token}

    def resource(self, cookie: str | None, token: str | None, path: str) -> dict[str, str]:
        """Rules 7 to 10: the resource ``repository/type/tag`` as a flattened JWE.

        Raises:
            StrongroomError: ``release.kbs_*``, ``release.denied``, the codes of approvals, of the
                unlocker, or ``release.record_failed``.
        """
        session = self._sessions.find(cookie, token, self._monotonic())
        attested = self._sessions.fetch(session)
        resource = self._parts.resources.find(path)
        if resource is None:
            raise refuse("release.kbs_no_resource")
        noted = self._draft(session)
        noted.evidence_sha256 = attested.evidence_sha256
        noted.nonce_sha256 = attested.nonce_sha256
        noted.model, noted.release = resource.model, resource.release
        noted.manifest_digest = resource.manifest
        noted.note(attested.facts)
        try:
            self._decide(attested, resource, noted)
            sealed = self._seal(attested, resource, noted)
            self._keep(noted)
        except StrongroomError as refusal:
            self._refused(noted, refusal)
            raise
        return sealed

    def _answer(self, session: Session, body: bytes, now: float) -> Attestation:
        """Rule 2; what cannot be read uses the challenge up, too."""
        try:
            sent = messages.decode(body, Attestation)
            nonce = base64.b64decode(sent.runtime_data.nonce, validate=True)
        except (KeyRefused, ValueError) as error:
            self._nonces.void(session.id)
            if isinstance(error, KeyRefused):
                raise
            raise refuse("release.kbs_malformed") from None
        self._nonces.consume(session.id, nonce, now)
        return sent

    def _judge(self, session: Session, sent: Attestation, noted: Decision) -> Attested:
        """Rules 3 to 5."""
        runtime, evidence = sent.runtime_data, sent.tee_evidence
        key = tee_key.read(runtime.tee_pubkey)  # rule 3
        primary = bytes(evidence.primary_evidence)
        noted.evidence_kind = session.tee
        noted.evidence_sha256 = _sha256(primary, evidence.additional_evidence.encode())
        self._nonces.remember_evidence(noted.evidence_sha256)  # rule 4
        bundle = self._parts.collateral.bundle(session.tee, primary, evidence.additional_evidence)
        facts = registry.verify_bundle(  # rule 5
            bundle,
            now=int(self._wall()),
            expectations=self._expectations(
                session.tee, runtime.tee_pubkey, runtime.nonce, evidence.additional_evidence
            ),
        )
        noted.note(facts)
        return Attested(facts, key, noted.evidence_sha256, noted.nonce_sha256)

    def _expectations(
        self, tee: str, jwk: Mapping[str, str], nonce: str, additional: str
    ) -> dict[str, dict[str, Any]]:
        """The owner's, with what this very session must have bound, whatever the owner wrote."""
        chosen = {kind: dict(fields) for kind, fields in self._parts.policy.expectations.items()}
        bound = binding.report_data(jwk, nonce, additional)
        chosen[tee] = {**chosen.get(tee, {}), "report_data": bound.hex()}
        chosen[tee].pop("any_report_data", None)
        devices = {**chosen.get("nvidia", {}), "nonce": gpu_nonce(jwk, nonce).hex()}
        devices.pop("any_nonce", None)
        return {**chosen, "nvidia": devices}

    def _decide(self, attested: Attested, resource: Resource, noted: Decision) -> None:
        """Rule 8."""
        needed, count = self._parts.policy.allow.approvals, 0
        if needed and self._parts.approvals is not None:
            tally = self._parts.approvals(resource.subject(self._engine.digest), needed)
            noted.grant, noted.approvers = tally.request, tally.approvers
            count = len(tally.approvers)
        verdict = self._engine.decide(attested.facts, manifest=resource.manifest, approvals=count)
        noted.because = tuple(verdict.because)
        require(verdict)
        if self._parts.standing is not None:
            self._parts.standing(Named(resource.model, resource.release, resource.manifest))

    def _seal(self, attested: Attested, resource: Resource, noted: Decision) -> dict[str, str]:
        """Rule 9."""
        recipient, key = self._parts.unlock(resource.recipients, resource.context)
        try:
            sealed = jwe.encrypt(key.reveal(TOKEN), attested.key)
        finally:
            key.wipe()
        noted.outcome, noted.lease = "released", _NO_LEASE
        noted.assurance = attested.facts[0].assurance
        noted.key_kind, noted.key_id = recipient.kind, recipient.key_id
        noted.suite = tee_key.algorithm(attested.key)
        return sealed

    def _draft(self, session: Session) -> Decision:
        return Decision(
            time=int(self._wall()),
            decision=str(uuid.uuid4()),
            service_key_id=self._parts.issuer,
            policy_digest=self._engine.digest,
            session=session.cookie,
            nonce_sha256=hashlib.sha256(base64.b64decode(session.nonce)).hexdigest(),
        )

    def _keep(self, noted: Decision) -> None:
        """Rule 10."""
        try:
            self._parts.record(noted)
        except Exception as error:
            raise KeyRefused(
                "release.record_failed",
                f"The decision could not be recorded ({type(error).__name__}).",
                action="Make room for the record, or repair what keeps it.",
            ) from None

    def _refused(self, noted: Decision, refusal: StrongroomError) -> None:
        """A refusal stands even if it cannot be recorded."""
        noted.outcome, noted.reason = "refused", refusal.code
        noted.assurance = noted.lease = None
        with suppress(KeyRefused):
            self._keep(noted)


def _check_parameters(request: Request) -> None:
    if request.tee not in PRIMARY:
        raise refuse("release.kbs_tee")
    more = request.extra_params
    if more is None or more == "":
        return
    if isinstance(more, str):
        raise refuse("release.kbs_malformed")
    if more.attestation_policy_selector is not None:
        raise refuse("release.kbs_selector")
    if more.tee_metadata is not None and more.tee_metadata.primary_tee.tee != request.tee:
        raise refuse("release.kbs_tee")


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()
