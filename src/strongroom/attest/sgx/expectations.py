"""What an owner may choose about an enclave; debug and the like are refused in code."""

from __future__ import annotations

import msgspec

from strongroom.attest.dcap.policy import PlatformPolicy


class Expectations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the enclave must be. ``None`` leaves a field to the policy over the facts.

    Args:
        platform: the platform below it.
        report_data: all 64 bytes that the enclave must have bound, lower-case hex.
        any_report_data: judge evidence that answers no challenge of the caller's, such as an old
            capture; says nothing about freshness then.
        mrenclave: allowed contents, lower-case hex.
        mrsigner: allowed signers, lower-case hex. A signer says nothing of which of its enclaves
            runs, or how old it is: name products and a lowest version with it.
        products: allowed ISV product ids.
        minimum_isv_svn: floor of the enclave's security version.
        xfrm: allowed extended feature masks.
    """

    platform: PlatformPolicy = PlatformPolicy()
    report_data: str = ""
    any_report_data: bool = False
    mrenclave: frozenset[str] | None = None
    mrsigner: frozenset[str] | None = None
    products: frozenset[int] | None = None
    minimum_isv_svn: int = 0
    xfrm: frozenset[int] | None = None

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The values that are left to a later policy."""
        left = tuple(name for name in self.__struct_fields__ if getattr(self, name) is None)
        return ("report_data", *left) if self.any_report_data else left
