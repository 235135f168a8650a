"""Local evidence: what a workload without a TEE says of itself. SOFTWARE-ONLY.

It tells which code and configuration a process says it runs; what stands behind it is the kernel's
word on who sent it, not hardware. Root, or another process of the same user that imitates the
keeper, can produce it. Every production policy refuses it.

1. The evidence is one JSON object of the known fields, each within its bounds.
2. The kernel said who sent it.
3. The sender runs as the verifier's own user.
4. The sender is the process that the evidence names.

The caller must compare ``report_data`` with what it asked the workload to bind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.attest.interface import Checks, Facts, Reason, refusal, table

REPORT_BYTES = 48

REASONS = table(
    Reason(
        "attest.local_form",
        "The evidence is not local evidence of a form that is accepted.",
        "Run the same version of all processes.",
    ),
    Reason(
        "attest.local_sender",
        "The kernel did not say who sent the evidence.",
        "Send it over the socket that the service handed down, from one process.",
    ),
    Reason(
        "attest.local_user",
        "The evidence came from a process of another user.",
        "Run keeper and key release as the same user, or use a TEE.",
    ),
    Reason(
        "attest.local_process",
        "The evidence names another process than the one that sent it.",
        "Find out which process speaks in the keeper's name.",
    ),
)

_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sent a request, as the kernel says: process id and user id in our namespaces."""

    pid: int
    uid: int


class LocalEvidence(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="local"
):
    """What a workload says of itself.

    ``code`` measures its installation, ``configuration`` is the SHA-256 of the configuration bytes
    that it was started with, ``report_data`` binds both to one request.
    """

    code: _Digest
    configuration: _Digest
    kernel: Annotated[str, Meta(min_length=1, max_length=256)]
    pid: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    report_data: Annotated[bytes, Meta(min_length=REPORT_BYTES, max_length=REPORT_BYTES)]


def verify(evidence: bytes, *, sender: Peer | None, user: int) -> Facts:
    """Facts of local evidence.

    Args:
        evidence: an encoded ``LocalEvidence``, as received.
        sender: who sent it, as the kernel says; None if it did not say.
        user: the verifier's own effective user id.

    Raises:
        AttestationRefused: one of ``REASONS``.
    """
    checks = Checks(REASONS)
    said = _decode(evidence)
    checks.require("1", "attest.local_form", True)
    checks.require("2", "attest.local_sender", sender is not None)
    pid, uid = (sender.pid, sender.uid) if sender is not None else (0, -1)
    checks.require("3", "attest.local_user", uid == user, str(uid))
    checks.require("4", "attest.local_process", pid == said.pid, str(pid))
    return Facts(
        kind="local",
        product="software",
        assurance="SOFTWARE-ONLY",
        measurements={"code": said.code, "configuration": said.configuration},
        report_data=said.report_data,
        debug=False,
        claims={"kernel": said.kernel, "pid": said.pid},
        checks=checks.made,
    )


def _decode(evidence: bytes) -> LocalEvidence:
    try:
        return msgspec.json.decode(evidence, type=LocalEvidence)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refusal(REASONS, "attest.local_form") from None
