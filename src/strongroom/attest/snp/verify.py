"""Verify an SEV-SNP attestation report. Pure: no clock, no connection.

Form of the report
 1. It is 1184 bytes long; 2. of version 2 to 5; 3. signed by algorithm 1 (ECDSA P-384, SHA-384);
 4. zero stands beside r and s; 5. no reserved bit of KEY_INFO is set; 6. the signing key is a
 VCEK or a VLEK; 7. a chip whose key is masked shows no id.
Endorsement (:mod:`.endorsement`; a certificate that cannot be read is a refusal)
 8. The chain is key, intermediate, root. 9. The certificate is for the kind of key that the report
 names. 10. It names a known product, 11. that of the report's CPUID (version 3 on). 12. The root
 is the product's pinned ARK, 13. the intermediate the product's ASK or ASVK, by kind. 14. Each is
 issued by the name of the next, 15. which is an authority for so many below; 16. no critical
 extension is unknown. 17. ARK signed ASK or ASVK, 18. which signed the key's certificate. 19. All
 are valid at ``now``.
Revocation
 20. A list is there where the owner demands it; each list 21. is the ARK's by name, 22. and by
 signature, 23. is fresh at ``now``, and 24. does not name the intermediate.
What the signature binds
 25. The key signed the report. 26. Its certificate's TCB is the reported TCB. A VCEK's certificate
 27. names a chip, 28. which is the report's; a VLEK's 29. names a cloud.
Never negotiable
 30. Policy bit 17 is one; 31. no unknown policy bit is set; 32. no debugging; 33. no migration
 agent.
The owner's choice (:class:`.expectations.Expectations`)
 34. Product; 35. kind of key; 36. cloud; 37. chip; 38. SMT; 39. single socket; 40. CXL; 41. VMPL;
 42. alias check; 43. committed firmware is what runs; floors on 44. reported, 45. committed and
 46. launch TCB; 47. platform features; 48. measurement; 49. ID key and 50. author key; 51. guest
 SVN; 52. host data; 53. report data.

The caller must have chosen ``report_data`` afresh; what the guest does with its measured start is
beyond any report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strongroom.attest import certificates as x509
from strongroom.attest.interface import Checks, Facts, refusal
from strongroom.attest.snp import report as layout
from strongroom.attest.snp.choices import require_choices
from strongroom.attest.snp.endorsement import Endorsement, read_endorsement
from strongroom.attest.snp.expectations import Expectations
from strongroom.attest.snp.facts import facts_of
from strongroom.attest.snp.products import ROOTS, of_processor
from strongroom.attest.snp.reasons import REASONS
from strongroom.attest.snp.report import Policy, Report

_INTERMEDIATES = {"VCEK": "SEV-{}", "VLEK": "SEV-VLEK-{}"}
_UNDERSTOOD = (x509.BASIC_CONSTRAINTS, x509.KEY_USAGE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A report and what endorses it.

    ``certificates`` are DER: the key's (VCEK or VLEK), the intermediate's (ASK or ASVK), the root
    (ARK). ``crls`` are revocation lists of that root, DER.
    """

    report: bytes
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Chain:
    """Certificates that were read but not yet trusted."""

    endorsement: Endorsement
    intermediate: x509.Certificate
    root: x509.Certificate

    @property
    def all(self) -> tuple[x509.Certificate, ...]:
        return (self.endorsement.certificate, self.intermediate, self.root)


def verify(
    evidence: Evidence,
    *,
    now: int,
    expectations: Expectations,
    roots: Mapping[str, str] = ROOTS,
) -> Facts:
    """Facts of a genuine and acceptable report.

    Args:
        evidence: the report's bytes as the chip wrote them, and its chain.
        now: the time to judge validity by, in Unix seconds.
        expectations: what the owner chose.
        roots: product to the SHA-256 of its ARK's DER form; the default are AMD's.

    Raises:
        EvidenceRefused: with the code of the first check that did not hold.
    """
    checks = Checks(REASONS)
    report = _read_report(evidence.report, checks)
    chain = _read_chain(evidence.certificates, checks)
    _require_endorsement(report, chain, checks, now=now, roots=roots)
    _require_unrevoked(evidence.crls, chain, checks, now=now, needed=expectations.require_crl)
    _require_binding(report, chain.endorsement, checks, expectations.allow_masked_chip)
    _require_safe_policy(report, checks)
    require_choices(report, chain.endorsement, checks, expectations)
    return facts_of(report, chain.endorsement, chain.all, expectations, bool(evidence.crls), checks)


def _read_report(raw: bytes, checks: Checks) -> Report:
    checks.require("1", "attest.snp_length", len(raw) == layout.LENGTH, f"{len(raw)} bytes")
    report = layout.parse(raw)
    version, algorithm = report.version, report.signature_algorithm
    checks.require("2", "attest.snp_version", version in layout.VERSIONS, f"version {version}")
    checks.require(
        "3",
        "attest.snp_signature_algorithm",
        algorithm == layout.ECDSA_P384_SHA384,
        f"algorithm {algorithm}",
    )
    checks.require("4", "attest.snp_signature_padding", not any(report.signature_padding), "zero")
    checks.require(
        "5",
        "attest.snp_key_info",
        report.key_info >> 5 == 0 and report.reserved == 0,
        f"{report.key_info:#x}",
    )
    key = report.signing_key
    checks.require("6", "attest.snp_signing_key", key in _INTERMEDIATES, key)
    hidden = not report.chip_key_masked or not any(report.chip_id)
    checks.require("7", "attest.snp_chip_mask", hidden, f"masked: {report.chip_key_masked}")
    return report


def _read_chain(certificates: tuple[bytes, ...], checks: Checks) -> _Chain:
    count = len(certificates)
    checks.require("8", "attest.snp_chain_length", count == 3, f"{count} certificates")
    leaf, intermediate, root = certificates[:3]
    try:
        return _Chain(read_endorsement(leaf), x509.read(intermediate), x509.read(root))
    except ValueError as error:
        raise refusal(REASONS, "attest.snp_certificate") from error


def _require_endorsement(
    report: Report, chain: _Chain, checks: Checks, *, now: int, roots: Mapping[str, str]
) -> None:
    kind, product = chain.endorsement.signing_key, chain.endorsement.product
    leaf, intermediate, root = chain.all
    checks.require("9", "attest.snp_key_kind", kind == report.signing_key, leaf.common_name)
    checks.require("10", "attest.snp_product_name", product in roots, product)
    processor = of_processor(report.family, report.model)
    checks.require(
        "11",
        "attest.snp_product",
        report.version < 3 or processor == product,
        f"family {report.family:#x}, model {report.model:#x}",
    )
    pinned = root.fingerprint == roots.get(product)
    checks.require("12", "attest.snp_root", pinned, root.fingerprint)
    checks.require(
        "13",
        "attest.snp_intermediate",
        intermediate.common_name == _INTERMEDIATES[report.signing_key].format(product),
        intermediate.common_name,
    )
    named = leaf.issuer == intermediate.subject and intermediate.issuer == root.subject
    checks.require("14", "attest.snp_names", named)
    authorities = intermediate.may_issue(0) and root.may_issue(1)
    checks.require("15", "attest.snp_authority", authorities)
    understood = all(certificate.understood(*_UNDERSTOOD) for certificate in chain.all)
    checks.require("16", "attest.snp_critical", understood)
    genuine = x509.signed_by(intermediate.signed, root.public_key)
    checks.require("17", "attest.snp_intermediate_signature", genuine)
    endorsed = x509.signed_by(leaf.signed, intermediate.public_key)
    checks.require("18", "attest.snp_key_signature", endorsed)
    current = all(certificate.valid_at(now) for certificate in chain.all)
    checks.require("19", "attest.snp_validity", current, f"at {now}")


def _require_unrevoked(
    crls: tuple[bytes, ...], chain: _Chain, checks: Checks, *, now: int, needed: bool
) -> None:
    present = f"{len(crls)} lists"
    checks.require("20", "attest.snp_crl_missing", bool(crls) or not needed, present)
    for raw in crls:
        try:
            revoked = x509.read_revocations(raw)
        except ValueError as error:
            raise refusal(REASONS, "attest.snp_crl") from error
        ours = revoked.issuer == chain.root.subject
        checks.require("21", "attest.snp_crl_issuer", ours)
        genuine = x509.signed_by(revoked.signed, chain.root.public_key)
        checks.require("22", "attest.snp_crl_signature", genuine)
        checks.require(
            "23", "attest.snp_crl_stale", revoked.fresh_at(now), f"until {revoked.next_update}"
        )
        serial = chain.intermediate.serial
        checks.require("24", "attest.snp_revoked", serial not in revoked.serials, f"{serial:#x}")


def _require_binding(
    report: Report, endorsement: Endorsement, checks: Checks, allow_masked: bool
) -> None:
    signed = endorsement.signed(report.signature_der(), report.body)
    checks.require("25", "attest.snp_signature", signed, endorsement.signing_key)
    same = report.reported_tcb == endorsement.tcb
    checks.require("26", "attest.snp_tcb_certificate", same, report.reported_tcb.hex())
    if endorsement.signing_key == "VLEK":
        checks.require("29", "attest.snp_csp_missing", endorsement.csp != "", endorsement.csp)
        return
    hwid = endorsement.hwid
    checks.require("27", "attest.snp_hwid_missing", hwid is not None)
    # Turin uses 8 of the 64 bytes; the others are zero.
    ours = hwid is not None and report.chip_id == hwid.ljust(64, b"\0")
    masked = allow_masked and not any(report.chip_id)
    checks.require("28", "attest.snp_chip", ours or masked, report.chip_id.hex())


def _require_safe_policy(report: Report, checks: Checks) -> None:
    policy = report.policy
    one = bool(policy & Policy.RESERVED_ONE)
    checks.require("30", "attest.snp_policy_bit_17", one, f"{policy:#x}")
    known = policy & ~layout.KNOWN_POLICY == 0
    checks.require("31", "attest.snp_policy_unknown", known)
    checks.require("32", "attest.snp_debug", not policy & Policy.DEBUG, "off")
    agent = bool(policy & Policy.MIGRATION_AGENT)
    checks.require("33", "attest.snp_migration_agent", not agent, "none")
