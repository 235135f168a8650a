"""What an owner may choose about a trust domain; debug and the like are refused in code."""

from __future__ import annotations

import msgspec

from strongroom.attest.dcap.policy import PlatformPolicy
from strongroom.attest.tdx.body import KEY_LOCKER, LASS, PKS


class Expectations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the trust domain must be. ``None`` leaves a field to the policy over the facts.

    Args:
        platform: the platform below it.
        report_data: all 64 bytes that the workload must have bound, lower-case hex.
        any_report_data: judge evidence that answers no challenge of the caller's, such as an old
            capture; says nothing about freshness then.
        mrtd: allowed initial contents, lower-case hex (so too below).
        rtmr0: allowed values of run-time register 0; likewise 1 to 3.
        mrseam: allowed TDX modules.
        mrconfigid: allowed configuration ids, by which a host names what it configured.
        mrowner: allowed owners; ``mrownerconfig`` their configurations.
        xfam: allowed extended feature masks.
        optional_attributes: attribute bits that may be set besides SEPT_VE_DISABLE, which must.
        minimum_tee_tcb_svn: floor of each of the TEE TCB's SVNs, in order; hex.
        events: events that the log must hold, as ``register:digest``.
    """

    platform: PlatformPolicy = PlatformPolicy()
    report_data: str = ""
    any_report_data: bool = False
    mrtd: frozenset[str] | None = None
    rtmr0: frozenset[str] | None = None
    rtmr1: frozenset[str] | None = None
    rtmr2: frozenset[str] | None = None
    rtmr3: frozenset[str] | None = None
    mrseam: frozenset[str] | None = None
    mrconfigid: frozenset[str] | None = None
    mrowner: frozenset[str] | None = None
    mrownerconfig: frozenset[str] | None = None
    xfam: frozenset[int] | None = None
    optional_attributes: int = PKS | KEY_LOCKER | LASS
    minimum_tee_tcb_svn: str = ""
    events: frozenset[str] = frozenset()

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The values that are left to a later policy."""
        left = tuple(name for name in self.__struct_fields__ if getattr(self, name) is None)
        return ("report_data", *left) if self.any_report_data else left
