"""Why an attestation document is refused: one code a check, with sentence and remedy."""

from __future__ import annotations

from strongroom.attest.interface import Reason, table

_AGAIN = "Ask the enclave for a fresh document and pass it on unchanged."
_NOT_AWS = "Do not trust this enclave: whoever signed for it is not AWS."
_ALLOW = "Start the enclave image that was measured, or add its value to the expectations."
_FRESH = "Ask the enclave for a new document over this challenge."

REASONS = table(
    Reason("attest.nitro_size", "The document is larger than any genuine one.", _AGAIN),
    Reason("attest.nitro_framing", "The document is no COSE_Sign1 in strict CBOR.", _AGAIN),
    Reason("attest.nitro_algorithm", "The document is not signed with ES384.", _AGAIN),
    Reason("attest.nitro_unprotected", "The document has unprotected headers.", _AGAIN),
    Reason("attest.nitro_document", "The document lacks a field or has one of wrong type.", _AGAIN),
    Reason("attest.nitro_digest", "The document's PCRs are not SHA-384.", _AGAIN),
    Reason("attest.nitro_pcrs", "The document's PCRs are not those of an enclave.", _AGAIN),
    Reason(
        "attest.nitro_debug",
        "The enclave runs in debug mode: its PCR0 is zero.",
        "Start the enclave without --debug-mode; its console and memory are open otherwise.",
    ),
    Reason("attest.nitro_certificate", "A certificate of the document cannot be read.", _AGAIN),
    Reason("attest.nitro_root", "The certificates do not start at the pinned AWS root.", _NOT_AWS),
    Reason("attest.nitro_chain_names", "A certificate names another issuer.", _NOT_AWS),
    Reason(
        "attest.nitro_authority",
        "A certificate signs others without being allowed to, or too deep a chain.",
        _NOT_AWS,
    ),
    Reason("attest.nitro_signer", "The signing certificate is not one for signing.", _NOT_AWS),
    Reason(
        "attest.nitro_critical",
        "A certificate has a critical extension that is not understood.",
        "Update strongroom if AWS issues such certificates now.",
    ),
    Reason("attest.nitro_chain_signature", "A certificate has a bad signature.", _NOT_AWS),
    Reason("attest.nitro_expired", "A certificate is no longer valid.", _FRESH),
    Reason("attest.nitro_early", "A certificate is not valid yet.", "Check the clock."),
    Reason("attest.nitro_module", "The signing certificate is another enclave's.", _AGAIN),
    Reason("attest.nitro_signature", "The document has a bad signature.", _AGAIN),
    Reason("attest.nitro_stale", "The document is older than five minutes.", _FRESH),
    Reason("attest.nitro_future", "The document is from the future.", "Check the clock."),
    Reason("attest.nitro_pcr0", "PCR0 (the image) is not an allowed one.", _ALLOW),
    Reason("attest.nitro_pcr1", "PCR1 (kernel and boot) is not an allowed one.", _ALLOW),
    Reason("attest.nitro_pcr2", "PCR2 (the application) is not an allowed one.", _ALLOW),
    Reason("attest.nitro_pcr8", "PCR8 (the image's signer) is not an allowed one.", _ALLOW),
    Reason("attest.nitro_nonce", "The nonce is not the challenge's.", _FRESH),
    Reason("attest.nitro_public_key", "The public key is not the expected one.", _FRESH),
    Reason("attest.nitro_user_data", "The user data is not the expected one.", _FRESH),
)
