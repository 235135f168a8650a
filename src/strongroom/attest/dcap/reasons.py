"""Why a quote is refused before anybody looks at what runs inside."""

from __future__ import annotations

from strongroom.attest.interface import Reason, table

_QUOTE = "Ask the workload for a fresh quote and pass it on unchanged."
_COLLATERAL = "Gather the collateral again with `strongroom attest bundle`."
_PLATFORM = "Use another platform, or name this one in the expectations if you trust it."
_UPDATE = "Have the machine's operator update firmware, microcode and TDX module, or accept it."

FRAMING = table(
    Reason("attest.dcap_framing", "The quote's lengths do not add up.", _QUOTE),
    Reason("attest.dcap_version", "The quote's version is not the one its kind has.", _QUOTE),
    Reason("attest.dcap_tee_type", "The quote names another kind of TEE.", _QUOTE),
    Reason("attest.dcap_key_type", "The quote is not signed with ECDSA on P-256.", _QUOTE),
    Reason("attest.dcap_reserved", "A reserved field of the quote is not zero.", _QUOTE),
    Reason("attest.dcap_qe_vendor", "The quoting enclave is not Intel's.", _QUOTE),
    Reason("attest.dcap_body_type", "The quote's body has an unknown type or length.", _QUOTE),
    Reason(
        "attest.dcap_certification_type",
        "The quote does not carry its PCK certificate chain.",
        "Have the platform's quote generation service include the chain (certification data 5).",
    ),
    Reason("attest.dcap_trailing", "Something other than zeros follows the quote.", _QUOTE),
)

CHAIN = table(
    Reason(
        "attest.dcap_chain_encoding",
        "A certificate chain is not in canonical PEM or has not the length Intel issues.",
        _QUOTE,
    ),
    Reason(
        "attest.dcap_root",
        "A certificate chain does not end in Intel's pinned root.",
        "Do not trust this platform: whoever signed for it is not Intel.",
    ),
    Reason("attest.dcap_chain_names", "A certificate of a chain has another role.", _QUOTE),
    Reason(
        "attest.dcap_certificate_expired",
        "A certificate is no longer valid.",
        "Verify evidence while its certificates are valid, or check the clock.",
    ),
    Reason("attest.dcap_certificate_early", "A certificate is not valid yet.", "Check the clock."),
    Reason(
        "attest.dcap_revoked",
        "A certificate was revoked.",
        "Do not trust this platform until Intel certifies it anew.",
    ),
    Reason(
        "attest.dcap_chain_signature",
        "A certificate or revocation list has a bad signature.",
        _QUOTE,
    ),
)

COLLATERAL = table(
    Reason("attest.dcap_collateral_missing", "No collateral was given.", _COLLATERAL),
    Reason("attest.dcap_collateral_malformed", "The collateral cannot be read.", _COLLATERAL),
    Reason("attest.dcap_collateral_expired", "A part of the collateral has expired.", _COLLATERAL),
    Reason(
        "attest.dcap_collateral_early", "A part of the collateral is not valid yet.", _COLLATERAL
    ),
    Reason(
        "attest.dcap_collateral_kind", "The collateral is for another kind of TEE.", _COLLATERAL
    ),
    Reason(
        "attest.dcap_collateral_platform", "The collateral is for other platforms.", _COLLATERAL
    ),
    Reason(
        "attest.dcap_crl_issuer",
        "The revocation list is not that of the PCK's issuer.",
        _COLLATERAL,
    ),
    Reason("attest.dcap_tcb_info_signature", "The TCB info has a bad signature.", _COLLATERAL),
    Reason(
        "attest.dcap_qe_identity_signature", "The QE identity has a bad signature.", _COLLATERAL
    ),
    Reason(
        "attest.dcap_tcb_evaluation",
        "The collateral's TCB evaluation number is below the floor.",
        "Gather newer collateral, or lower the floor.",
    ),
)

JUDGED = table(
    Reason("attest.dcap_attestation_key", "The QE's report does not bind the quote's key.", _QUOTE),
    Reason("attest.dcap_qe_signature", "The QE's report has a bad signature.", _QUOTE),
    Reason(
        "attest.dcap_qe_identity", "The quoting enclave is not the one Intel published.", _QUOTE
    ),
    Reason("attest.dcap_quote_signature", "The quote has a bad signature.", _QUOTE),
    Reason("attest.dcap_tcb_level", "The platform is below every TCB level Intel knows.", _UPDATE),
    Reason("attest.dcap_tcb_status", "The platform's TCB status is not accepted.", _UPDATE),
    Reason("attest.dcap_tcb_too_old", "The platform's TCB is past its grace period.", _UPDATE),
    Reason("attest.dcap_advisory", "The platform is open to an advisory that is refused.", _UPDATE),
    Reason("attest.dcap_module", "The TDX module is not the one that Intel published.", _UPDATE),
    Reason("attest.dcap_smt", "The platform has simultaneous multithreading on.", _PLATFORM),
    Reason("attest.dcap_dynamic", "The platform may be changed by its owner later.", _PLATFORM),
    Reason("attest.dcap_cached_keys", "The platform's root keys are cached by Intel.", _PLATFORM),
    Reason(
        "attest.dcap_sgx_type", "The platform's kind of memory protection is refused.", _PLATFORM
    ),
    Reason("attest.dcap_platform", "The platform is not among those allowed.", _PLATFORM),
    Reason(
        "attest.dcap_differs",
        "Two readings of the quote differ.",
        "Report this as a defect, with the quote.",
    ),
    Reason("attest.dcap_refused", "The strict verification of the quote failed.", _QUOTE),
)

REASONS = FRAMING | CHAIN | COLLATERAL | JUDGED
