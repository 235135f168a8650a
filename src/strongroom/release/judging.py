"""From the bytes of a request to a verdict: genuine, made for this request, and allowed.

1. The evidence is verified. One kind is taken so far: ``local``, on the kernel's word who sent it.
2. The evidence was made for this request: it commits to the digest of the runtime data.
3. The policy decides (``policies.engine``).
"""

from __future__ import annotations

import hmac
import os

from strongroom.attest import local
from strongroom.attest.interface import Facts
from strongroom.attest.local import Peer
from strongroom.errors import KeyRefused
from strongroom.release import binding
from strongroom.release.policies.engine import Engine, Verdict

KINDS = ("local",)
"""The kinds of evidence that rule 1 knows."""


def verify(evidence: bytes, encoded: bytes, peer: Peer | None) -> Facts:
    """Rules 1 and 2.

    Args:
        evidence: as received.
        encoded: the runtime data exactly as received.
        peer: who sent them, as the kernel says; None if it did not say.

    Raises:
        AttestationRefused: the evidence is not genuine.
        KeyRefused: ``release.evidence_unbound``.
    """
    facts = local.verify(evidence, sender=peer, user=os.geteuid())
    if not hmac.compare_digest(facts.report_data, binding.report_data(encoded)):
        raise KeyRefused(
            "release.evidence_unbound",
            "The evidence was not made for this request.",
            action="Ask for a new challenge and make evidence that answers it.",
        )
    return facts


def decide(engine: Engine, facts: Facts, manifest: str, approvals: int = 0) -> Verdict:
    """Rule 3: a verdict that allows.

    Raises:
        KeyRefused: ``release.denied``, naming the statements that deny.
    """
    verdict = engine.decide((facts,), manifest=manifest, approvals=approvals)
    if not verdict.allowed:
        raise KeyRefused(
            "release.denied",
            f"The policy {verdict.policy} denies the key: {', '.join(verdict.because)}.",
            action="Check the workload and the policy; `strongroom policy check` shows its lists.",
        )
    return verdict
