"""The record of one decision. It names everything that led to it, and holds no secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from strongroom.attest.interface import Facts
from strongroom.release.messages import Assurance, Lease


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """One release, renewal or refusal, filled in as the request is judged.

    What the request did not get far enough to tell stays empty.

    ``because`` names the statements of the policy that decided, ``grant`` the request that
    ``approvers`` approved, ``renews`` the decision whose lease was to be renewed.
    ``certificates_until`` is when the first certificate ends that the verdict rests on (Unix
    seconds), ``chips`` the processor's id and those of its devices. ``nonce_sha256`` instead of
    the nonce: a record may be read while the nonce is still live.
    """

    time: int
    decision: str
    service_key_id: str
    policy_digest: str
    session: str
    outcome: Literal["released", "renewed", "refused"] = "refused"
    reason: str = ""
    because: tuple[str, ...] = ()
    pid: int = 0
    uid: int = -1
    nonce_sha256: str = ""
    renews: str = ""
    model: str = ""
    release: int = 0
    manifest_digest: str = ""
    evidence_kind: str = ""
    evidence_sha256: str = ""
    code: str = ""
    configuration: str = ""
    kernel: str = ""
    additional_sha256: str = ""
    products: tuple[str, ...] = ()
    measurements: dict[str, str] = {}
    tcb: dict[str, int | str] = {}
    chips: tuple[str, ...] = ()
    certificates_until: int = 0
    grant: str = ""
    approvers: tuple[str, ...] = ()
    key_kind: str = ""
    key_id: str = ""
    suite: str = ""
    assurance: Assurance | None = None
    lease: Lease | None = None

    def note(self, facts: Sequence[Facts]) -> None:
        """Fill in what was verified: of the guest first, then of its devices."""
        guest = facts[0]
        self.evidence_kind = guest.kind
        self.code = guest.measurements.get("code", "")
        self.configuration = guest.measurements.get("configuration", "")
        self.kernel = str(guest.claims.get("kernel", ""))
        self.products = tuple(fact.product for fact in facts)
        self.measurements, self.tcb = dict(guest.measurements), dict(guest.tcb)
        self.chips = tuple(chip for fact in facts for chip in _chips(fact))
        ends = [dates.not_after for fact in facts for dates in fact.certificates]
        self.certificates_until = min(ends, default=0)


def _chips(facts: Facts) -> tuple[str, ...]:
    devices = facts.claims.get("devices")
    return devices if isinstance(devices, tuple) else (facts.chip,)
