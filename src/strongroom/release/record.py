"""The record of one decision. It names everything that led to it, and holds no secret."""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.release.messages import Assurance, Lease


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """One release or refusal, filled in as the request is judged.

    What the request did not get far enough to tell stays empty.

    ``because`` names the statements of the policy that decided.
    ``nonce_sha256`` instead of the nonce: a record may be read while the nonce is still live.
    """

    time: int
    decision: str
    service_key_id: str
    policy_digest: str
    session: str
    outcome: Literal["released", "refused"] = "refused"
    reason: str = ""
    because: tuple[str, ...] = ()
    pid: int = 0
    uid: int = -1
    nonce_sha256: str = ""
    manifest_digest: str = ""
    evidence_kind: str = ""
    evidence_sha256: str = ""
    code: str = ""
    configuration: str = ""
    kernel: str = ""
    key_kind: str = ""
    key_id: str = ""
    suite: str = ""
    assurance: Assurance | None = None
    lease: Lease | None = None
