"""From the bytes of a request to a verdict: genuine, made for this request, and allowed.

1. Evidence of kind ``local`` is taken on the kernel's word who sent it. All other evidence is a
   bundle in its canonical form, of a kind that speaks of a guest (``bound.BOUND_FIELDS``).
2. Additional evidence is a bundle of a kind that speaks of devices (``bound.DEVICE_FIELDS``).
3. No bundle nests another: what counts as evidence of devices is what the guest commits to.
4. The guest's evidence carries ``binding.report_data``, so that it commits to the key that will be
   used, the challenge, every field of the runtime data and the devices' evidence.
5. The devices answer ``binding.device_nonce``, of the same key and challenge.
6. All else is checked by the verifiers, at the service's time, under the owner's expectations.
7. Where the policy demands approvals, so many people approve the release of this model, release
   and manifest under this very policy, now.
8. The policy decides (``policies.engine``).

Rules 4 and 5 are each kind's own check, with its own code: the binding is put into what the
verifier is told to expect (``bound.demanding``).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from strongroom.attest import bundle as bundles
from strongroom.attest import local, registry
from strongroom.attest.bundle import Bundle
from strongroom.attest.interface import Facts
from strongroom.attest.local import REPORT_BYTES, Peer
from strongroom.errors import KeyRefused
from strongroom.release import binding
from strongroom.release.approvals.documents import Subject
from strongroom.release.approvals.tally import Tally
from strongroom.release.bound import BOUND_FIELDS, DEVICE_FIELDS, Bound, demanding
from strongroom.release.messages import Release, Renew, Runtime
from strongroom.release.policies.engine import Engine, Verdict

KINDS = ("local", *BOUND_FIELDS)
"""The kinds of evidence that rule 1 knows."""


class CountApprovals(Protocol):
    """Who knows the approvals, such as ``approvals.desk.Desk.approved``."""

    def __call__(self, subject: Subject, needed: int) -> Tally:
        """Who approves ``subject`` now; raises ``KeyRefused`` if fewer than ``needed`` do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to judge: the message, its runtime data, who sent it, Unix seconds."""

    message: Release | Renew
    runtime: Runtime
    peer: Peer | None
    now: int


class _Kind(msgspec.Struct):
    """All that is read of evidence to tell local evidence from a bundle."""

    kind: str = ""


def verify(asked: Asked, engine: Engine) -> tuple[Facts, ...]:
    """Rules 1 to 6: the facts of the guest, then those of its devices.

    Raises:
        AttestationRefused: the evidence is not genuine, or was not made for this request.
        KeyRefused: ``release.evidence_kind``, ``release.evidence_nested`` or, for ``local``,
            ``release.evidence_unbound``.
        ConfigurationRefused: ``attest.expectations``.
    """
    message, runtime = asked.message, asked.runtime
    devices: tuple[Facts, ...] = ()
    if message.additional:
        found = _bundle(message.additional, DEVICE_FIELDS)
        nonce = binding.device_nonce(runtime, message.runtime)
        devices = _judged(found, DEVICE_FIELDS[found.kind], nonce, asked.now, engine)
    bound = binding.report_data(runtime, message.runtime, message.additional)
    if _is_local(message.evidence):
        return (_local(message.evidence, asked.peer, bound), *devices)
    found = _bundle(message.evidence, BOUND_FIELDS)
    return _judged(found, BOUND_FIELDS[found.kind], bound, asked.now, engine) + devices


def approvals(engine: Engine, runtime: Runtime, count: CountApprovals | None) -> Tally | None:
    """Rule 7: who approves; None where nobody needs to, or nobody counts, and the policy denies.

    Raises:
        StrongroomError: the codes of ``Desk.approved``.
    """
    needed = engine.document.allow.approvals
    if not needed or count is None:
        return None
    subject = Subject(runtime.model, runtime.release, runtime.manifest_digest, engine.digest)
    return count(subject, needed)


def require(verdict: Verdict) -> None:
    """Rule 8: the verdict allows.

    Raises:
        KeyRefused: ``release.denied``, naming the statements that deny.
    """
    if not verdict.allowed:
        raise KeyRefused(
            "release.denied",
            f"The policy {verdict.policy} denies the key: {', '.join(verdict.because)}.",
            action="Check the workload and the policy; `strongroom policy check` shows its lists.",
        )


def _is_local(evidence: bytes) -> bool:
    try:
        return msgspec.json.decode(evidence, type=_Kind).kind == "local"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _local(evidence: bytes, peer: Peer | None, bound: bytes) -> Facts:
    facts = local.verify(evidence, sender=peer, user=os.geteuid())
    if not hmac.compare_digest(facts.report_data, bound[:REPORT_BYTES]):
        raise KeyRefused(
            "release.evidence_unbound",
            "The evidence was not made for this request.",
            action="Ask for a new challenge and make evidence that answers it.",
        )
    return facts


def _bundle(raw: bytes, kinds: Mapping[str, Bound]) -> Bundle:
    """Rules 1 to 3."""
    found = bundles.decode(raw)
    if found.kind not in kinds:
        raise KeyRefused(
            "release.evidence_kind",
            "Evidence of this kind does not belong in this place.",
            action="Send the processor's as evidence, and that of GPUs as additional evidence.",
        )
    if found.nested:
        raise KeyRefused(
            "release.evidence_nested",
            "The evidence nests other evidence.",
            action="Send that of devices as additional evidence, which the processor's commits to.",
        )
    return found


def _judged(
    found: Bundle, bound: Bound, value: bytes, now: int, engine: Engine
) -> tuple[Facts, ...]:
    """Rules 4 to 6."""
    chosen = engine.document.expectations
    told = demanding(chosen.get(found.kind, {}), bound, value)
    return registry.verify_bundle(found, now=now, expectations={found.kind: told})
