"""Why an Azure VM's evidence is refused, beside the reasons of its report and its quote."""

from __future__ import annotations

from strongroom.attest.interface import Reason, table

REASONS = table(
    Reason(
        "attest.azure_hcl",
        "The HCL report is not framed as required.",
        "Read it again from the vTPM's index 0x01400001, all of it.",
    ),
    Reason(
        "attest.azure_report_type",
        "The HCL report wraps no SEV-SNP report, or its claims are not hashed with SHA-256.",
        "Use the kind of evidence that belongs to the VM.",
    ),
    Reason(
        "attest.azure_runtime",
        "The hardware's report commits to other runtime claims.",
        "Read the HCL report again; if it recurs, the claims were altered.",
    ),
    Reason(
        "attest.azure_claims",
        "The runtime claims cannot be read.",
        "Update strongroom if Azure changed their form.",
    ),
    Reason(
        "attest.azure_ak",
        "The runtime claims do not name exactly one attestation key that signs.",
        "Update strongroom if Azure changed their form.",
    ),
    Reason(
        "attest.azure_secure_boot",
        "The VM started without secure boot.",
        "Turn it on, or clear require_secure_boot on purpose.",
    ),
    Reason(
        "attest.azure_console",
        "The VM has a console that its host can reach.",
        "Turn it off, or set allow_console on purpose.",
    ),
    Reason(
        "attest.azure_pcrs",
        "The values are not those of 24 PCRs, 32 bytes each.",
        "Collect the quote over all PCRs of the SHA-256 bank.",
    ),
)
