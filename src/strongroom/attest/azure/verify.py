"""Verify an Azure VM's evidence: hardware report, runtime claims, and a quote of its vTPM.

 1. The HCL report is framed as required (a refusal) and wraps an SEV-SNP report with SHA-256.
 2. The report passes every check of :mod:`strongroom.attest.snp.verify`.
 3. Its report data is the SHA-256 of the runtime claims, then zeros.
 4. The claims (a refusal if unreadable) name exactly one RSA key ``HCLAkPub`` that signs.
 5. Secure boot was on, and 6. there is no console, or the owner accepts it.
 7. The values are those of 24 PCRs.
 8. The quote over them passes every check of :mod:`strongroom.attest.tpm.quote` with that key.

The vTPM lives in the paravisor, which the launch measurement covers and Microsoft builds: its code
can answer for any guest. Checks of the report and the quote are numbered ``2.n`` and ``8.n``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from strongroom.attest.azure import hcl
from strongroom.attest.azure.expectations import Expectations
from strongroom.attest.azure.reasons import REASONS
from strongroom.attest.interface import Check, Checks, Claim, Facts, refusal
from strongroom.attest.snp import verify as snp
from strongroom.attest.snp.products import ROOTS
from strongroom.attest.tpm import quote as tpm
from strongroom.attest.tpm.ak import AttestationKey
from strongroom.attest.tpm.expectations import Expectations as TpmExpectations
from strongroom.attest.tpm.reasons import REASONS as TPM_REASONS
from strongroom.attest.tpm.wire import Signature

AK = "HCLAkPub"
PCRS = tuple(range(24))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a VM hands over.

    ``certificates`` are the VCEK's, ASK's and ARK's, DER. ``signature`` are the bare octets of the
    quote's RSASSA signature; ``pcrs`` 24 values of 32 bytes.
    """

    hcl_report: bytes
    message: bytes
    signature: bytes
    pcrs: bytes
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...] = ()


def verify(
    evidence: Evidence, *, now: int, expectations: Expectations, roots: Mapping[str, str] = ROOTS
) -> Facts:
    """Facts of a genuine and acceptable VM; ``report_data`` is what the quote answers.

    Args:
        evidence: as the VM wrote it.
        now: the time to judge validity by, in Unix seconds.
        expectations: what the owner chose.
        roots: product to the SHA-256 of its ARK's DER form; the default are AMD's.

    Raises:
        EvidenceRefused: with the code of the first check that did not hold.
    """
    checks = Checks(REASONS)
    report = _parse(evidence.hcl_report, checks)
    hardware = snp.verify(
        snp.Evidence(report.hardware_report, evidence.certificates, evidence.crls),
        now=now,
        expectations=expectations.snp,
        roots=roots,
    )
    committed = sha256(report.runtime).digest() + bytes(32)
    bound = hardware.report_data == committed
    checks.require("3", "attest.azure_runtime", bound, committed[:32].hex())
    claims, ak = _read_claims(report.runtime, checks)
    vm = claims.vm_configuration
    secure = vm.secure_boot or not expectations.require_secure_boot
    checks.require("5", "attest.azure_secure_boot", secure, f"on: {vm.secure_boot}")
    silent = not vm.console_enabled or expectations.allow_console
    checks.require("6", "attest.azure_console", silent, f"on: {vm.console_enabled}")
    checks.require("7", "attest.azure_pcrs", len(evidence.pcrs) == 32 * len(PCRS))
    quoted = _verify_quote(evidence, ak, expectations)
    return _facts(hardware, quoted, claims, checks)


def _parse(raw: bytes, checks: Checks) -> hcl.HclReport:
    try:
        report = hcl.parse(raw)
    except ValueError as error:
        raise refusal(REASONS, "attest.azure_hcl") from error
    kinds = (report.report_type, report.hash_type)
    checks.require("1", "attest.azure_report_type", kinds == (hcl.SNP, hcl.SHA256), f"{kinds}")
    return report


def _read_claims(runtime: bytes, checks: Checks) -> tuple[hcl.Claims, AttestationKey]:
    try:
        claims = hcl.read_claims(runtime)
        named = [key for key in claims.keys if key.kid == AK]
        publics = [key.public() for key in named]
    except ValueError as error:
        raise refusal(REASONS, "attest.azure_claims") from error
    one = len(named) == 1 and named[0].key_ops == ("sign",)
    checks.require("4", "attest.azure_ak", one, f"{len(named)} keys")
    holder = sha256(publics[0]).hexdigest()
    return claims, AttestationKey(publics[0], "runtime", holder)


def _verify_quote(evidence: Evidence, ak: AttestationKey, expectations: Expectations) -> Facts:
    values = {number: evidence.pcrs[32 * number : 32 * number + 32] for number in PCRS}
    quote = tpm.Quote(evidence.message, Signature("rsassa", "sha256", evidence.signature), values)
    chosen = TpmExpectations(
        nonce=expectations.nonce,
        any_nonce=expectations.any_nonce,
        selection=PCRS,
        pcrs=expectations.pcrs,
        unsafe_clock=expectations.unsafe_clock,
    )
    return tpm.verify(quote, ak, Checks(TPM_REASONS), expectations=chosen)


def _facts(hardware: Facts, quoted: Facts, claims: hcl.Claims, checks: Checks) -> Facts:
    before = tuple(check for check in checks.made if int(check.number) < 3)
    after = checks.made[len(before) :]
    own: dict[str, Claim] = {
        "secure_boot": claims.vm_configuration.secure_boot,
        "console_enabled": claims.vm_configuration.console_enabled,
        "user_data": claims.user_data,
    }
    return replace(
        hardware,
        kind="azure-snp",
        measurements={**hardware.measurements, **quoted.measurements},
        report_data=quoted.report_data,
        claims={
            **hardware.claims,
            **{f"tpm.{name}": value for name, value in quoted.claims.items()},
            **own,
            "not_compared": tuple(
                name for name in _names(hardware.claims["not_compared"]) if name != "report_data"
            ),
        },
        checks=(
            *before,
            *_under("2", hardware.checks),
            *after,
            *_under("8", quoted.checks),
        ),
    )


def _names(value: Claim) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _under(number: str, made: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(Check(f"{number}.{check.number}", check.code, check.found) for check in made)
