"""Which workload may have a key: the owner's choices, and the judgement of local evidence.

What is not the owner's to choose stands in ``judge`` itself: the sender must be of this service's
user, must be the process that the evidence names, and the evidence must commit to the request.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.errors import KeyRefused
from strongroom.release import binding
from strongroom.release.evidence import LocalEvidence, running_measurement
from strongroom.release.messages import Digest, Runtime

_Allowed = Annotated[tuple[Digest, ...], Meta(max_length=4096)]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Allow-lists for local evidence.

    ``code``: measurements of installations; empty means the service's own. ``configurations``:
    digests of workload configurations, and ``manifests``: digests of model manifests; empty means
    any.
    """

    code: _Allowed = ()
    configurations: _Allowed = ()
    manifests: _Allowed = ()

    def effective(self) -> Policy:
        """This policy with the service's own measurement filled in where ``code`` is empty."""
        code = self.code or (running_measurement(),)
        return Policy(code, self.configurations, self.manifests)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the policy's canonical encoding; stands in every decision."""
        return binding.sha256(msgspec.json.encode(self, order="deterministic"))


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sent a request, as the kernel says: process id and user id in our namespaces."""

    pid: int
    uid: int


def judge(
    policy: Policy, evidence: LocalEvidence, runtime: Runtime, encoded: bytes, peer: Peer | None
) -> None:
    """Refuse unless ``evidence`` of ``peer`` about ``runtime`` (sent as ``encoded``) satisfies.

    Raises:
        KeyRefused: ``release.peer_unknown``, ``release.peer_other_user``,
            ``release.evidence_unbound``, ``release.evidence_pid``, ``release.code_unknown``,
            ``release.configuration_unknown``, ``release.model_not_allowed``.
    """
    if peer is None:
        raise _refused("release.peer_unknown", "The kernel did not say who sent the request.")
    if peer.uid != os.geteuid():
        raise _refused(
            "release.peer_other_user", "The request came from a process of another user."
        )
    if not hmac.compare_digest(evidence.report_data, binding.report_data(encoded)):
        raise _refused("release.evidence_unbound", "The evidence was not made for this request.")
    if evidence.pid != peer.pid:
        raise _refused(
            "release.evidence_pid", "The evidence names another process than its sender."
        )
    if evidence.code not in policy.code:
        raise _refused(
            "release.code_unknown", "The workload's code is not one that the policy allows."
        )
    if policy.configurations and evidence.configuration not in policy.configurations:
        raise _refused(
            "release.configuration_unknown",
            "The workload's configuration is not one the policy allows.",
        )
    if policy.manifests and runtime.manifest_digest not in policy.manifests:
        raise _refused("release.model_not_allowed", "The policy does not allow this model's key.")


def _refused(code: str, message: str) -> KeyRefused:
    return KeyRefused(
        code,
        message,
        action="Check the workload and the release policy; the decision record tells more.",
    )
