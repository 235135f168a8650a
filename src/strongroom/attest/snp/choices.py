"""The checks that an owner's expectations decide: 34 to 53 of :mod:`.verify`."""

from __future__ import annotations

from collections.abc import Mapping

from strongroom.attest.interface import Checks
from strongroom.attest.snp.endorsement import Endorsement
from strongroom.attest.snp.expectations import Expectations, Tcb
from strongroom.attest.snp.products import LAYOUTS, tcb_of
from strongroom.attest.snp.report import Platform, Policy, Report


def require_choices(
    report: Report, endorsement: Endorsement, checks: Checks, expected: Expectations
) -> None:
    """Compare a genuine report with what its owner expects.

    Raises:
        EvidenceRefused: with the code of the first expectation that is not met.
    """
    _platform(report, endorsement, checks, expected)
    _firmware(report, endorsement.product, checks, expected)
    _workload(report, checks, expected)


def chip_of(report: Report, product: str) -> str:
    """The chip's id in hex, as many bytes as the product uses; empty where it is hidden."""
    return report.chip_id[: LAYOUTS[product].hwid].hex() if any(report.chip_id) else ""


def _platform(
    report: Report, endorsement: Endorsement, checks: Checks, expected: Expectations
) -> None:
    product, key, csp = endorsement.product, endorsement.signing_key, endorsement.csp
    checks.require("34", "attest.snp_product_choice", product in expected.products, product)
    checks.require("35", "attest.snp_key_choice", key in expected.signing_keys, key)
    if expected.csps is not None:
        checks.require("36", "attest.snp_csp", csp in expected.csps, csp)
    if expected.chips is not None:
        chip = chip_of(report, product)
        checks.require("37", "attest.snp_chip_choice", chip in expected.chips, chip)
    policy = report.policy
    smt, one_socket = bool(policy & Policy.SMT), bool(policy & Policy.SINGLE_SOCKET)
    cxl = bool(policy & Policy.CXL)
    checks.require("38", "attest.snp_smt", expected.allow_smt or not smt, f"allowed: {smt}")
    enough = one_socket or not expected.require_single_socket
    checks.require("39", "attest.snp_single_socket", enough, f"demanded: {one_socket}")
    checks.require("40", "attest.snp_cxl", expected.allow_cxl or not cxl, f"allowed: {cxl}")
    vmpl = report.vmpl
    checks.require("41", "attest.snp_vmpl", vmpl in expected.vmpls, f"VMPL {vmpl}")


def _firmware(report: Report, product: str, checks: Checks, expected: Expectations) -> None:
    # Version 2 has no bit for the alias check: what stands there is reserved.
    unaliased = report.version >= 3 and bool(report.platform & Platform.ALIAS_CHECK_COMPLETE)
    checks.require(
        "42",
        "attest.snp_alias_check",
        unaliased or not expected.require_alias_check,
        f"complete: {unaliased}",
    )
    committed = (
        report.current_tcb == report.committed_tcb
        and report.current_build == report.committed_build
    )
    checks.require(
        "43",
        "attest.snp_provisional",
        committed or expected.allow_provisional_firmware,
        f"committed: {committed}",
    )
    reported, lasting, launch = (
        tcb_of(product, word)
        for word in (report.reported_tcb, report.committed_tcb, report.launch_tcb)
    )
    if expected.minimum_tcb:
        floor = next((tcb for name, tcb in expected.minimum_tcb.items() if name == product), None)
        checks.require("44", "attest.snp_tcb_reported", _reaches(reported, floor), str(reported))
        checks.require("45", "attest.snp_tcb_committed", _reaches(lasting, floor), str(lasting))
        checks.require("46", "attest.snp_tcb_launch", _reaches(launch, floor), str(launch))
    missing = [
        name
        for name in sorted(expected.require_platform)
        if not report.platform & Platform[name.upper()]
    ]
    checks.require("47", "attest.snp_platform", not missing, f"{report.platform:#x}")


def _workload(report: Report, checks: Checks, expected: Expectations) -> None:
    digest = report.measurement.hex()
    if expected.measurements is not None:
        checks.require("48", "attest.snp_measurement", digest in expected.measurements, digest)
    if expected.id_keys is not None:
        key = report.id_key_digest.hex()
        checks.require("49", "attest.snp_id_key", key in expected.id_keys, key)
    if expected.author_keys is not None:
        author = report.author_key_digest.hex()
        named = report.author_key_enabled and author in expected.author_keys
        checks.require("50", "attest.snp_author_key", named, author)
    svn = report.guest_svn
    checks.require("51", "attest.snp_guest_svn", svn >= expected.minimum_guest_svn, f"SVN {svn}")
    if expected.host_data is not None:
        host = report.host_data.hex()
        checks.require("52", "attest.snp_host_data", host == expected.host_data, host)
    if expected.report_data is not None:
        data = report.report_data.hex()
        checks.require("53", "attest.snp_report_data", data == expected.report_data, data)


def _reaches(found: Mapping[str, int], floor: Tcb | None) -> bool:
    return floor is not None and all(
        version >= getattr(floor, name) for name, version in found.items()
    )
