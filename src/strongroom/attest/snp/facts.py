"""The facts of a report whose checks held."""

from __future__ import annotations

from strongroom.attest.certificates import Certificate
from strongroom.attest.interface import Checks, Facts
from strongroom.attest.snp.choices import chip_of
from strongroom.attest.snp.endorsement import Endorsement
from strongroom.attest.snp.expectations import Expectations
from strongroom.attest.snp.products import tcb_of
from strongroom.attest.snp.report import Platform, Policy, Report

_POLICY = tuple((f"policy.{bit.name}".lower(), int(bit)) for bit in Policy)
_PLATFORM = tuple((f"platform.{bit.name}".lower(), int(bit)) for bit in Platform)


def facts_of(
    report: Report,
    endorsement: Endorsement,
    chain: tuple[Certificate, ...],
    expectations: Expectations,
    revocations: bool,
    checks: Checks,
) -> Facts:
    """Everything that a later policy may judge."""
    product = endorsement.product
    tcbs = {
        "reported": report.reported_tcb,
        "committed": report.committed_tcb,
        "current": report.current_tcb,
        "launch": report.launch_tcb,
    }
    return Facts(
        kind="snp",
        product=product,
        assurance="HARDWARE",
        measurements={
            "measurement": report.measurement.hex(),
            "host_data": report.host_data.hex(),
            "id_key_digest": report.id_key_digest.hex(),
            "author_key_digest": report.author_key_digest.hex(),
        },
        report_data=report.report_data,
        debug=bool(report.policy & Policy.DEBUG),
        tcb={
            f"{which}.{name}": version
            for which, word in tcbs.items()
            for name, version in tcb_of(product, word).items()
        },
        chip=chip_of(report, product),
        certificates=tuple(certificate.dates for certificate in chain),
        claims={
            "report_version": report.version,
            "signing_key": endorsement.signing_key,
            "csp": endorsement.csp,
            "vmpl": report.vmpl,
            "guest_svn": report.guest_svn,
            "family_id": report.family_id.hex(),
            "image_id": report.image_id.hex(),
            "author_key_enabled": report.author_key_enabled,
            "firmware": "{2}.{1}.{0}".format(*report.current_build),
            "revocations_checked": revocations,
            "not_compared": expectations.not_compared,
            **{name: bool(report.policy & bit) for name, bit in _POLICY},
            **{name: bool(report.platform & bit) for name, bit in _PLATFORM},
        },
        checks=checks.made,
    )
