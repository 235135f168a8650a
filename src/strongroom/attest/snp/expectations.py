"""What an owner may choose about SEV-SNP guests; everything else is refused in code."""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.attest.snp.products import Product

SigningKey = Literal["VCEK", "VLEK"]
PlatformFeature = Literal["tsme", "ecc", "rapl_disabled", "ciphertext_hiding"]


class Tcb(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Least versions of the parts of a TCB; ``fmc`` exists on Turin only."""

    bootloader: int = 0
    tee: int = 0
    snp: int = 0
    microcode: int = 0
    fmc: int = 0


class Expectations(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An owner's choices. The defaults are the strict ones; hexadecimal is lower-case.

    ``None`` leaves a value to a later policy: it is reported among the facts and listed under
    ``not_compared``.

    Args:
        products: accepted products. Milan must be named: the seed of its VCEK is reported to be
            extractable in software (arXiv 2605.12990).
        signing_keys: ``VCEK`` names one chip; ``VLEK`` a cloud, whose reports may hide the chip.
        report_data: all 64 bytes that the workload bound, 128 digits.
        measurements: accepted launch digests, 96 digits each.
        host_data: the 32 bytes of the host, 64 digits.
        vmpls: accepted privilege levels; AWS's guests report 1.
        allow_smt: whether a guest may run where two threads share a core.
        require_single_socket: whether the guest must be bound to one socket.
        allow_cxl: whether the guest's memory may be in CXL devices.
        allow_provisional_firmware: whether firmware may run that is not committed, so that the
            host can still roll it back.
        require_alias_check: whether the platform must state that no memory is aliased; reports
            of version 2 cannot.
        allow_masked_chip: whether a report signed by a VCEK may hide the chip's id.
        minimum_tcb: floors by product, for reported, committed and launch TCB. Where any are
            given, a product without one is refused.
        chips: accepted chip ids (16 digits on Turin, 128 before).
        csps: accepted clouds of a VLEK, as its certificate names them.
        id_keys, author_keys: accepted SHA-384 digests of the keys that signed the ID block.
        minimum_guest_svn: least version of the guest by its ID block.
        require_platform: features that must be on.
        require_crl: whether a revocation list must be at hand; where one is, it is always used.
    """

    products: frozenset[Product] = frozenset({"Genoa", "Turin"})
    signing_keys: frozenset[SigningKey] = frozenset({"VCEK"})
    report_data: str | None = None
    measurements: frozenset[str] | None = None
    host_data: str | None = None
    vmpls: frozenset[int] = frozenset({0})
    allow_smt: bool = False
    require_single_socket: bool = False
    allow_cxl: bool = False
    allow_provisional_firmware: bool = False
    require_alias_check: bool = True
    allow_masked_chip: bool = False
    minimum_tcb: dict[Product, Tcb] = {}
    chips: frozenset[str] | None = None
    csps: frozenset[str] | None = None
    id_keys: frozenset[str] | None = None
    author_keys: frozenset[str] | None = None
    minimum_guest_svn: int = 0
    require_platform: frozenset[PlatformFeature] = frozenset()
    require_crl: bool = False

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The values that are left to a later policy."""
        names = ("report_data", "measurements", "host_data", "chips")
        return tuple(name for name in names if getattr(self, name) is None)
