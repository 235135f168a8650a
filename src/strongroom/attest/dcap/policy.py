"""What an owner may choose about an Intel platform; everything else is decided in code."""

from __future__ import annotations

import msgspec

#: Intel's names of TCB states that can be accepted; ``Revoked`` never can.
STATUSES = frozenset(
    {
        "UpToDate",
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
    }
)


class PlatformPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The platform that an owner accepts. The defaults refuse whatever is not wholly proven.

    Args:
        allow_smt: whether simultaneous multithreading may be on. Servers nearly always have it
            on; siblings on a core can leak to each other. Decide this one.
        allow_dynamic: whether the platform's owner may add packages, as on every multi-package
            server that Intel's registration service certified. Decide this one.
        allow_cached_keys: whether Intel's registration service may hold the platform's root
            keys, the default mode of such servers. Decide this one.
        statuses: accepted TCB states, of ``STATUSES``.
        tcb_grace: seconds for which an out-of-date TCB that is accepted stays so after its date.
        minimum_evaluation: floor of the TCB evaluation data number of TCB info and QE identity.
        sgx_types: accepted memory protections: 0 standard, 1 scalable, 2 scalable with integrity.
        refused_advisories: Intel security advisories that a platform must not be open to.
        platforms: allow-list of platform instance ids or, where a certificate has none, PPIDs, in
            lower-case hex; ``None``: any platform.
    """

    allow_smt: bool = False
    allow_dynamic: bool = False
    allow_cached_keys: bool = False
    statuses: frozenset[str] = frozenset({"UpToDate"})
    tcb_grace: int = 0
    minimum_evaluation: int = 0
    sgx_types: tuple[int, ...] = (0, 1, 2)
    refused_advisories: tuple[str, ...] = ()
    platforms: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Refuse states that Intel does not name.

        Raises:
            ValueError: a status is none of ``STATUSES``.
        """
        if unknown := self.statuses - STATUSES:
            raise ValueError(f"no such TCB status: {', '.join(sorted(unknown))}")
