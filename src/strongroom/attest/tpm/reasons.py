"""Why a TPM's quote is refused: one code a check, with sentence and remedy."""

from __future__ import annotations

from strongroom.attest.interface import Reason, table

REASONS = table(
    Reason(
        "attest.tpm_message",
        "The quote's message is not framed as a TPMS_ATTEST structure.",
        "Collect the quote again; if it recurs, it was altered.",
    ),
    Reason(
        "attest.tpm_magic",
        "The message was not made by a TPM (its magic number differs).",
        "Do not trust it: a key signed what no TPM produced.",
    ),
    Reason(
        "attest.tpm_type",
        "The message is another attestation than a quote.",
        "Collect a quote (TPM2_Quote).",
    ),
    Reason(
        "attest.tpm_ak_missing",
        "Nothing says why the attestation key should be trusted.",
        "Pin the key, or give its certificate, or activate a credential.",
    ),
    Reason(
        "attest.tpm_ak_pinned",
        "The attestation key is not among those that the owner pinned.",
        "Use the machine whose key is pinned, or pin this one after checking it.",
    ),
    Reason(
        "attest.tpm_ak_form",
        "The attestation key or its public area cannot be read.",
        "Collect the evidence again; if it recurs, it was altered.",
    ),
    Reason(
        "attest.tpm_ak_attributes",
        "The attestation key is not a restricted signing key that cannot leave its TPM.",
        "Create the key with tpm2_createak, or with those attributes.",
    ),
    Reason(
        "attest.tpm_credential",
        "The TPM did not prove that it holds both the endorsement and the attestation key.",
        "Activate the credential that this verifier made, on the machine itself.",
    ),
    Reason(
        "attest.tpm_certificate",
        "A certificate of the endorsement or attestation key cannot be read.",
        "Collect the certificates again from the TPM or its manufacturer.",
    ),
    Reason(
        "attest.tpm_root",
        "The certificates do not lead to a root that the owner pinned.",
        "Pin the manufacturer's root after checking it, or use a genuine TPM.",
    ),
    Reason(
        "attest.tpm_chain",
        "A certificate is not signed by the next one, or the next one may not sign.",
        "Give the complete chain, key first and root last.",
    ),
    Reason(
        "attest.tpm_purpose",
        "The certificate was not issued for an endorsement or attestation key.",
        "Give the certificate that the manufacturer issued for that key.",
    ),
    Reason(
        "attest.tpm_validity",
        "A certificate is not valid at the time of the verification.",
        "Check the clock, and renew the certificate.",
    ),
    Reason(
        "attest.tpm_signature_form",
        "The signature is not framed as a TPMT_SIGNATURE structure.",
        "Collect the quote again; if it recurs, it was altered.",
    ),
    Reason(
        "attest.tpm_scheme",
        "The signature's scheme or hash is not accepted, or does not fit the key.",
        "Use an RSA key of 2048 bits or more, or P-256 or P-384, with SHA-256 or stronger.",
    ),
    Reason(
        "attest.tpm_signature",
        "The attestation key did not sign this message.",
        "Do not trust it: the quote was altered or comes from another machine.",
    ),
    Reason(
        "attest.tpm_nonce",
        "The quote answers another nonce.",
        "Collect a quote for the nonce that was issued.",
    ),
    Reason(
        "attest.tpm_clock",
        "The TPM says that its clock may have gone backwards.",
        "Shut the machine down in order, or allow unsafe_clock.",
    ),
    Reason(
        "attest.tpm_reset_count",
        "The machine was restarted since its reset count was recorded.",
        "Record the new count after checking why it restarted.",
    ),
    Reason(
        "attest.tpm_bank",
        "The quote does not select exactly one bank of SHA-256.",
        "Quote the sha256 bank only.",
    ),
    Reason(
        "attest.tpm_selection",
        "The quote covers other PCRs than the owner expects.",
        "Quote exactly the PCRs of the policy.",
    ),
    Reason(
        "attest.tpm_values",
        "The PCR values are not exactly those that the quote selects, 32 bytes each.",
        "Pass the values of the selected PCRs, and no others.",
    ),
    Reason(
        "attest.tpm_digest",
        "The PCR values are not the ones that the TPM signed.",
        "Read the PCRs in one go with the quote.",
    ),
    Reason(
        "attest.tpm_pcr",
        "A PCR has a value that the owner does not allow.",
        "Boot the software that the policy describes, or record the new value.",
    ),
    Reason(
        "attest.tpm_log_missing",
        "The owner requires an event log, and there is none.",
        "Pass the log of /sys/kernel/security/tpm0/binary_bios_measurements.",
    ),
    Reason(
        "attest.tpm_log",
        "The event log is not framed as a crypto-agile TCG log.",
        "Read the log again; if it recurs, it was altered.",
    ),
    Reason(
        "attest.tpm_replay",
        "The event log does not lead to the PCR values that were quoted.",
        "Read log and quote in one boot; if it recurs, the log was altered.",
    ),
    Reason(
        "attest.tpm_log_event",
        "An event's digest does not belong to its data.",
        "Do not trust the log: its text says something else than what was measured.",
    ),
)
