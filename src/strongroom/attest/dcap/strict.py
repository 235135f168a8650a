"""dcap-qvl under its strict policy: every signature, every revocation, the TCB level.

Its legacy ``verify`` returns an out-of-date TCB as a success and is never called. Its refusals
come as sentences; ``NAMED`` gives those that have a name here their code. A sentence that is not
listed is ``attest.dcap_refused``: a refusal never depends on the list, only what it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from strongroom.attest.dcap.collateral import Collateral
from strongroom.attest.dcap.policy import PlatformPolicy
from strongroom.attest.dcap.quote import Quote
from strongroom.attest.dcap.reasons import REASONS
from strongroom.attest.interface import refusal
from strongroom.errors import EnvironmentLacks

if TYPE_CHECKING:
    from dcap_qvl import QuoteCollateralV3

NAMED = (
    ("Failed to verify certificate chain", "attest.dcap_chain_signature"),
    ("InvalidCrlSignatureForPublicKey", "attest.dcap_chain_signature"),
    ("Signature is invalid for tcb_info", "attest.dcap_tcb_info_signature"),
    ("Signature is invalid for qe_identity", "attest.dcap_qe_identity_signature"),
    ("Signature is invalid for qe_report", "attest.dcap_qe_signature"),
    ("ISV enclave report signature is invalid", "attest.dcap_quote_signature"),
    ("QE MRSIGNER mismatch", "attest.dcap_qe_identity"),
    ("QE ISVPRODID mismatch", "attest.dcap_qe_identity"),
    ("QE ISVSVN", "attest.dcap_qe_identity"),
    ("QE ATTRIBUTES mismatch", "attest.dcap_qe_identity"),
    ("QE MISCSELECT mismatch", "attest.dcap_qe_identity"),
    ("QE report validation failed", "attest.dcap_qe_identity"),
    ("TDX module identity check", "attest.dcap_module"),
    ("TDX module TCB level check", "attest.dcap_tcb_level"),
    ("No matching TCB level", "attest.dcap_tcb_level"),
    ("TCB status", "attest.dcap_tcb_status"),
    ("TCB too old", "attest.dcap_tcb_too_old"),
    ("Fmspc mismatch", "attest.dcap_collateral_platform"),
    ("Dynamic platform is not allowed", "attest.dcap_dynamic"),
    ("Cached keys are not allowed", "attest.dcap_cached_keys"),
    ("SMT (hyperthreading) is not allowed", "attest.dcap_smt"),
    ("SGX type", "attest.dcap_sgx_type"),
    ("Advisory", "attest.dcap_advisory"),
)


class _Tcb(msgspec.Struct, frozen=True):
    status: str
    advisory_ids: list[str]
    eval_data_number: int


class _Pck(msgspec.Struct, frozen=True):
    ppid: list[int]
    fmspc: list[int]
    pce_id: list[int]
    platform_instance_id: list[int] | None
    smt_enabled: str
    dynamic_platform: str
    cached_keys: str


class _Platform(msgspec.Struct, frozen=True):
    pck: _Pck
    tcb_date_tag: int


class _Claims(msgspec.Struct, frozen=True):
    tcb: _Tcb
    platform: _Platform
    report: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PlatformClaims:
    """What dcap-qvl vouches for of a platform; ``smt`` and the next two are as certified."""

    status: str
    advisories: tuple[str, ...]
    evaluation: int
    fmspc: str
    ppid: str
    instance: str
    pce_id: str
    tcb_date: int
    smt: str
    dynamic: str
    cached_keys: str

    @property
    def platform(self) -> str:
        """The platform's name: its instance id or, where it has none, its PPID; hex."""
        return self.instance or self.ppid


#: Verifies every signature of a quote and its collateral, and the platform's TCB; or refuses.
Signatures = Callable[[Quote, Collateral, int, bytes, PlatformPolicy], PlatformClaims]


def verify(
    quote: Quote, collateral: Collateral, now: int, root: bytes, policy: PlatformPolicy
) -> PlatformClaims:
    """Verify ``quote`` with dcap-qvl, strictly.

    Args:
        quote: the framed quote; its exact bytes are verified.
        collateral: what Intel published for its platform.
        now: Unix seconds.
        root: DER of the root to trust; the caller has pinned it.
        policy: what the owner accepts.

    Raises:
        EvidenceRefused: a code of ``NAMED``, or ``attest.dcap_refused``.
        EnvironmentLacks: dcap-qvl is not installed.
    """
    try:
        import dcap_qvl
    except ImportError as error:
        raise EnvironmentLacks(
            "attest.dcap_qvl_missing",
            "Verifying TDX and SGX quotes needs the package dcap-qvl.",
            action="Install strongroom with the extra `attest`.",
        ) from error
    rules = dcap_qvl.QuotePolicy.strict(now)
    for status in sorted(policy.statuses):
        rules = rules.allow_status(status)
    rules = (
        rules.allow_smt(policy.allow_smt)
        .allow_dynamic_platform(policy.allow_dynamic)
        .allow_cached_keys(policy.allow_cached_keys)
        .accepted_sgx_types(list(policy.sgx_types))
        .min_tcb_eval_data_number(policy.minimum_evaluation)
        .reject_advisories(list(policy.refused_advisories))
        .platform_grace_period(policy.tcb_grace)
        .qe_grace_period(policy.tcb_grace)
    )
    try:
        verifier = dcap_qvl.QuoteVerifier(root)
        found = verifier.verify_with_policy(quote.exact, _pieces(collateral), now, rules)
        claims = msgspec.json.decode(found.to_json(), type=_Claims)
    except (ValueError, OverflowError) as error:
        raise refusal(REASONS, _named(str(error))) from error
    _same(quote, claims)
    return _claims(claims)


@lru_cache(maxsize=64)
def _pieces(collateral: Collateral) -> QuoteCollateralV3:
    """The library's form of it, without a PCK chain: the quote's own is the one that counts."""
    import dcap_qvl

    tcb, identity, crl = collateral.texts
    return dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain=crl,
        root_ca_crl=collateral.root_crl.der,
        pck_crl=collateral.pck_crl.der,
        tcb_info_issuer_chain=tcb,
        tcb_info=collateral.tcb_info.text,
        tcb_info_signature=collateral.tcb_info.signature,
        qe_identity_issuer_chain=identity,
        qe_identity=collateral.qe_identity.text,
        qe_identity_signature=collateral.qe_identity.signature,
    )


def _named(sentence: str) -> str:
    return next((code for part, code in NAMED if part in sentence), "attest.dcap_refused")


def _same(quote: Quote, claims: _Claims) -> None:
    """The library must have read the fields that are ours to judge where we read them."""
    report = next(iter(claims.report.values()))
    report = report.get("base", report)
    for name, start, size in COMPARED[quote.kind]:
        if report.get(name) != quote.body[start : start + size].hex():
            raise refusal(REASONS, "attest.dcap_differs")


COMPARED = {
    "TDX": (
        ("td_attributes", 120, 8),
        ("mr_td", 136, 48),
        ("rt_mr0", 328, 48),
        ("rt_mr3", 472, 48),
        ("report_data", 520, 64),
    ),
    "SGX": (
        ("attributes", 48, 16),
        ("mr_enclave", 64, 32),
        ("mr_signer", 128, 32),
        ("report_data", 320, 64),
    ),
}


def _claims(claims: _Claims) -> PlatformClaims:
    pck = claims.platform.pck
    return PlatformClaims(
        status=claims.tcb.status,
        advisories=tuple(claims.tcb.advisory_ids),
        evaluation=claims.tcb.eval_data_number,
        fmspc=bytes(pck.fmspc).hex(),
        ppid=bytes(pck.ppid).hex(),
        instance=bytes(pck.platform_instance_id or []).hex(),
        pce_id=bytes(pck.pce_id).hex(),
        tcb_date=claims.platform.tcb_date_tag,
        smt=pck.smt_enabled,
        dynamic=pck.dynamic_platform,
        cached_keys=pck.cached_keys,
    )
