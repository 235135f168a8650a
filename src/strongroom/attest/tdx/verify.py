"""Verify a TDX quote: framing (Q1 to Q10), trust domain, platform (P1 to P15), expectations.

Whatever the owner expects, a trust domain is refused unless

T1. it does not run in debug mode;
T2. the host may not profile it;
T3. it sets SEPT_VE_DISABLE, without which a host can inject exceptions by taking pages away
    (Azure's partitioned domains clear it: refused, and no expectation opens this);
T4. it cannot be migrated, which would put its memory's key into another domain's hands;
T5. no attribute bit is set that this verifier does not know;
T6. its extended feature mask is one that the module can give;
T7. its TDX module is signed by Intel (MRSIGNERSEAM is zero);
T8. the module has no attributes, such as debug;
T9. no service domain is bound to it (MRSERVICETD is zero; version 1.5).

These are read before the signature is verified: they only refuse. Then, after the platform:

T10. Attributes besides SEPT_VE_DISABLE are among the allowed ones.
T11. XFAM is an allowed one.
T12. No TEE TCB SVN is below the floor.
T13. MRSEAM is an allowed one.
T14. MRTD is an allowed one.
T15. RTMR0 to 3 are allowed ones.
T16. MRCONFIGID, MROWNER and MROWNERCONFIG are allowed ones.
T17. The report data is the expected one, all 64 bytes.
T18. An event log that is given replays to the quote's RTMR0 to 3.
T19. It holds every expected event; where events are expected, a log must be given.

The caller must: bind ``report_data`` to its own fresh challenge if it expects none here; know
which measurements it trusts; and take the time from a clock that the workload cannot set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from strongroom.attest.bundle import Bundle, parts
from strongroom.attest.dcap import strict
from strongroom.attest.dcap.collateral import Collateral
from strongroom.attest.dcap.platform import INTEL_ROOT, Judged, judge
from strongroom.attest.dcap.quote import parse as parse_quote
from strongroom.attest.dcap.strict import Signatures
from strongroom.attest.interface import Checks, Claim, Facts
from strongroom.attest.tdx import body, eventlog
from strongroom.attest.tdx.body import TdReport
from strongroom.attest.tdx.expectations import Expectations
from strongroom.attest.tdx.reasons import REASONS

MEASUREMENTS = (
    "mrtd",
    "rtmr0",
    "rtmr1",
    "rtmr2",
    "rtmr3",
    "mrseam",
    "mrsignerseam",
    "mrconfigid",
    "mrowner",
    "mrownerconfig",
    "mrservicetd",
)


def verify(
    quote: bytes,
    *,
    now: int,
    collateral: Collateral | Mapping[str, bytes] | None,
    expectations: Expectations,
    event_log: bytes | None = None,
    root: str = INTEL_ROOT,
    signatures: Signatures = strict.verify,
) -> Facts:
    """Verify a TDX quote of version 4 or 5.

    Args:
        quote: its bytes, as the guest's quote service gave them.
        now: Unix seconds at which it is judged.
        collateral: what Intel published for its platform.
        expectations: what the owner demands.
        event_log: CCEL data or a dstack log to replay.
        root: SHA-256 of the root to trust, in hex; tests pass a simulated one.
        signatures: `strict.verify`, or a `dcap.cache.PlatformCache`.

    Raises:
        EvidenceRefused: the first check that fails, by its code.
        EnvironmentLacks: dcap-qvl is not installed.
    """
    checks = Checks(REASONS)
    framed = parse_quote(quote, "TDX", checks)
    report = body.parse(framed.body)
    _refuse_exposed(report, checks)
    _refuse_foreign_module(report, checks)
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
    events = _events(report, expectations, event_log, checks)
    facts = _facts(framed.version, report, judged, events, checks)
    return replace(facts, claims={**facts.claims, "not_compared": expectations.not_compared})


def verify_bundle(bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
    """Verify a bundle whose evidence is ``quote`` and, if there is one, ``event_log``.

    Its collateral is that of `dcap.collateral`; certificates and revocation lists stand in it.

    Raises:
        EvidenceRefused: as `verify`, or ``attest.bundle_parts``.
    """
    found = parts(bundle, "quote", optional=("event_log",))
    chosen = msgspec.convert(expectations, Expectations, from_attributes=True)
    return verify(
        found["quote"],
        now=now,
        collateral=bundle.collateral or None,
        expectations=chosen,
        event_log=found.get("event_log"),
    )


def _refuse_exposed(report: TdReport, checks: Checks) -> None:
    bits, found = report.attributes, f"{report.attributes:#018x}"
    checks.require("T1", "attest.tdx_debug", not bits & body.DEBUG, found)
    checks.require("T2", "attest.tdx_profiling", not bits & body.PROFILING, found)
    disabled = bits & body.SEPT_VE_DISABLE != 0
    checks.require("T3", "attest.tdx_sept_ve_disable", disabled, found)
    checks.require("T4", "attest.tdx_migratable", not bits & body.MIGRATABLE, found)
    known = not bits & ~body.KNOWN_ATTRIBUTES
    checks.require("T5", "attest.tdx_attributes_unknown", known, found)
    always = report.xfam & body.XFAM_ALWAYS == body.XFAM_ALWAYS
    possible = always and not report.xfam & ~body.XFAM_POSSIBLE
    checks.require("T6", "attest.tdx_xfam_unknown", possible, f"{report.xfam:#x}")


def _refuse_foreign_module(report: TdReport, checks: Checks) -> None:
    checks.require("T7", "attest.tdx_seam_signer", not any(report.mrsignerseam), "Intel")
    checks.require("T8", "attest.tdx_seam_attributes", not any(report.seam_attributes), "none")
    checks.require("T9", "attest.tdx_service_td", not any(report.mrservicetd), "none")


def _expected(report: TdReport, wanted: Expectations, checks: Checks) -> None:
    others = report.attributes & ~body.SEPT_VE_DISABLE
    allowed = not others & ~wanted.optional_attributes
    checks.require("T10", "attest.tdx_attributes", allowed, f"{others:#x}")
    mask = wanted.xfam is None or report.xfam in wanted.xfam
    checks.require("T11", "attest.tdx_xfam", mask, f"{report.xfam:#x}")
    floor = bytes.fromhex(wanted.minimum_tee_tcb_svn).ljust(16, b"\0")
    enough = all(svn >= least for svn, least in zip(report.tee_tcb_svn, floor, strict=True))
    checks.require("T12", "attest.tdx_tee_tcb_svn", enough, report.tee_tcb_svn.hex())
    _listed("T13", "attest.tdx_mrseam", report.mrseam, wanted.mrseam, checks)
    _listed("T14", "attest.tdx_mrtd", report.mrtd, wanted.mrtd, checks)
    _listed("T15", "attest.tdx_rtmr0", report.rtmr0, wanted.rtmr0, checks)
    _listed("T15", "attest.tdx_rtmr1", report.rtmr1, wanted.rtmr1, checks)
    _listed("T15", "attest.tdx_rtmr2", report.rtmr2, wanted.rtmr2, checks)
    _listed("T15", "attest.tdx_rtmr3", report.rtmr3, wanted.rtmr3, checks)
    _listed("T16", "attest.tdx_mrconfigid", report.mrconfigid, wanted.mrconfigid, checks)
    _listed("T16", "attest.tdx_mrowner", report.mrowner, wanted.mrowner, checks)
    _listed("T16", "attest.tdx_mrownerconfig", report.mrownerconfig, wanted.mrownerconfig, checks)
    bound = wanted.any_report_data or report.report_data.hex() == wanted.report_data
    checks.require("T17", "attest.tdx_report_data", bound, report.report_data.hex())


def _listed(
    number: str, code: str, value: bytes, allowed: frozenset[str] | None, checks: Checks
) -> None:
    holds = allowed is None or value.hex() in allowed
    checks.require(number, code, holds, value.hex())


def _events(
    report: TdReport, wanted: Expectations, log: bytes | None, checks: Checks
) -> tuple[eventlog.Event, ...]:
    events = eventlog.read(log) if log is not None else ()
    same = log is None or eventlog.replay(events) == report.rtmrs
    checks.require("T18", "attest.tdx_event_log_replay", same, f"{len(events)} events")
    held = wanted.events <= {event.name for event in events}
    checks.require("T19", "attest.tdx_event_missing", held, f"{len(wanted.events)} expected")
    return events


def _facts(
    version: int,
    report: TdReport,
    judged: Judged,
    events: tuple[eventlog.Event, ...],
    checks: Checks,
) -> Facts:
    platform = judged.claims
    claims: dict[str, Claim] = {
        "quote_version": version,
        "attributes": f"{report.attributes:016x}",
        "xfam": f"{report.xfam:x}",
        "fmspc": platform.fmspc,
        "ppid": platform.ppid,
        "smt": platform.smt,
        "dynamic_platform": platform.dynamic,
        "cached_keys": platform.cached_keys,
        "advisories": platform.advisories,
        "events": tuple(event.name for event in events),
    }
    return Facts(
        kind="tdx",
        product="TDX",
        assurance="HARDWARE",
        measurements={name: getattr(report, name).hex() for name in MEASUREMENTS},
        report_data=report.report_data,
        debug=False,
        tcb={
            "status": platform.status,
            "evaluation": platform.evaluation,
            "date": platform.tcb_date,
            "tee_tcb_svn": report.tee_tcb_svn.hex(),
            "tee_tcb_svn2": report.tee_tcb_svn2.hex(),
        },
        chip=platform.platform,
        certificates=judged.certificates,
        claims=claims,
        checks=checks.made,
    )
