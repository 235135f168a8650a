"""Verify an SGX quote: framing (Q1 to Q10), enclave, platform (P1 to P15), expectations.

Whatever the owner expects, an enclave is refused unless

S1. it does not run in debug mode;
S2. it is initialised and 64-bit;
S3. it may use neither the provisioning key nor the launch key;
S4. it has no other attribute than key separation and sharing (KSS) and AEX notification;
S5. the report's reserved fields are zero.

These are read before the signature is verified: they only refuse. Then, after the platform:

S6. XFRM is an allowed one.
S7. MRENCLAVE is an allowed one.
S8. MRSIGNER is an allowed one.
S9. The ISV product id is an allowed one.
S10. The ISV SVN is not below the floor.
S11. The report data is the expected one, all 64 bytes.

What the caller must do is as for TDX. Source: Intel SDM volume 3D, sections 35.7 (ATTRIBUTES)
and 35.15 (REPORT).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from strongroom.attest.bundle import Bundle, parts
from strongroom.attest.dcap import strict
from strongroom.attest.dcap.collateral import Collateral
from strongroom.attest.dcap.platform import INTEL_ROOT, Judged, judge
from strongroom.attest.dcap.quote import parse as parse_quote
from strongroom.attest.dcap.strict import Signatures
from strongroom.attest.interface import Checks, Facts
from strongroom.attest.sgx.expectations import Expectations
from strongroom.attest.sgx.reasons import REASONS

INITIALISED, DEBUG, MODE64 = 1 << 0, 1 << 1, 1 << 2
PROVISIONING, LAUNCH = 1 << 4, 1 << 5
KSS, AEX_NOTIFY = 1 << 7, 1 << 10
_LAYOUT = struct.Struct("<16sI12s16sQQ32s32s32s32s64sHHH42s16s64s")


@dataclass(frozen=True, slots=True)
class EnclaveReport:
    """The fields of an enclave's report; ``extended`` ones are zero without KSS."""

    cpu_svn: bytes
    misc_select: int
    reserved1: bytes
    extended_product: bytes
    flags: int
    xfrm: int
    mrenclave: bytes
    reserved2: bytes
    mrsigner: bytes
    reserved3: bytes
    config_id: bytes
    product: int
    isv_svn: int
    config_svn: int
    reserved4: bytes
    family: bytes
    report_data: bytes


def verify(
    quote: bytes,
    *,
    now: int,
    collateral: Collateral | Mapping[str, bytes] | None,
    expectations: Expectations,
    root: str = INTEL_ROOT,
    signatures: Signatures = strict.verify,
) -> Facts:
    """Verify an SGX quote of version 3. Arguments and errors are those of `tdx.verify`.

    Raises:
        EvidenceRefused: the first check that fails, by its code.
        EnvironmentLacks: dcap-qvl is not installed.
    """
    checks = Checks(REASONS)
    framed = parse_quote(quote, "SGX", checks)
    report = EnclaveReport(*_LAYOUT.unpack(framed.body))
    _refuse_exposed(report, checks)
    judged = judge(
        framed,
        checks,
        now=now,
        collateral=collateral,
        policy=expectations.platform,
        root=root,
        signatures=signatures,
    )
    _expected(report, expectations, checks)
    facts = _facts(framed.version, report, judged, checks)
    return replace(facts, claims={**facts.claims, "not_compared": expectations.not_compared})


def verify_bundle(bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
    """Verify a bundle whose evidence is ``quote``; its collateral is that of `dcap.collateral`.

    Raises:
        EvidenceRefused: as `verify`, or ``attest.bundle_parts``.
    """
    chosen = msgspec.convert(expectations, Expectations, from_attributes=True)
    quote = parts(bundle, "quote")["quote"]
    return verify(quote, now=now, collateral=bundle.collateral or None, expectations=chosen)


def _refuse_exposed(report: EnclaveReport, checks: Checks) -> None:
    flags, found = report.flags, f"{report.flags:#x}"
    checks.require("S1", "attest.sgx_debug", not flags & DEBUG, found)
    ready = flags & (INITIALISED | MODE64) == INITIALISED | MODE64
    checks.require("S2", "attest.sgx_initialised", ready, found)
    keys = flags & (PROVISIONING | LAUNCH)
    checks.require("S3", "attest.sgx_provisioning", not keys, found)
    other = flags & ~(INITIALISED | MODE64 | KSS | AEX_NOTIFY)
    checks.require("S4", "attest.sgx_attributes", not other, found)
    reserved = report.reserved1 + report.reserved2 + report.reserved3 + report.reserved4
    checks.require("S5", "attest.sgx_reserved", not any(reserved), "zero")


def _expected(report: EnclaveReport, wanted: Expectations, checks: Checks) -> None:
    mask = wanted.xfrm is None or report.xfrm in wanted.xfrm
    checks.require("S6", "attest.sgx_xfrm", mask, f"{report.xfrm:#x}")
    enclave, signer = report.mrenclave.hex(), report.mrsigner.hex()
    known = wanted.mrenclave is None or enclave in wanted.mrenclave
    checks.require("S7", "attest.sgx_mrenclave", known, enclave)
    signed = wanted.mrsigner is None or signer in wanted.mrsigner
    checks.require("S8", "attest.sgx_mrsigner", signed, signer)
    product = wanted.products is None or report.product in wanted.products
    checks.require("S9", "attest.sgx_product", product, f"{report.product}")
    recent = report.isv_svn >= wanted.minimum_isv_svn
    checks.require("S10", "attest.sgx_isv_svn", recent, f"{report.isv_svn}")
    bound = wanted.any_report_data or report.report_data.hex() == wanted.report_data
    checks.require("S11", "attest.sgx_report_data", bound, report.report_data.hex())


def _facts(version: int, report: EnclaveReport, judged: Judged, checks: Checks) -> Facts:
    platform = judged.claims
    return Facts(
        kind="sgx",
        product="SGX",
        assurance="HARDWARE",
        measurements={"mrenclave": report.mrenclave.hex(), "mrsigner": report.mrsigner.hex()},
        report_data=report.report_data,
        debug=False,
        tcb={
            "status": platform.status,
            "evaluation": platform.evaluation,
            "date": platform.tcb_date,
            "isv_svn": report.isv_svn,
        },
        chip=platform.platform,
        certificates=judged.certificates,
        claims={
            "quote_version": version,
            "flags": f"{report.flags:x}",
            "xfrm": f"{report.xfrm:x}",
            "product": report.product,
            "config_id": report.config_id.hex(),
            "fmspc": platform.fmspc,
            "ppid": platform.ppid,
            "smt": platform.smt,
            "advisories": platform.advisories,
        },
        checks=checks.made,
    )
