"""Why an SEV-SNP report is refused: one code a check, with sentence and remedy."""

from __future__ import annotations

from strongroom.attest.interface import Reason, table

REASONS = table(
    Reason(
        "attest.snp_length",
        "The report is not 1184 bytes long.",
        "Collect it again from the guest; nothing may stand before or behind the report.",
    ),
    Reason(
        "attest.snp_version",
        "The report is of a version that is not understood.",
        "Update the host's firmware, or strongroom if AMD defined a new version.",
    ),
    Reason(
        "attest.snp_signature_algorithm",
        "The report is not signed with ECDSA on P-384 and SHA-384.",
        "Collect it again from the guest; if it recurs, the report was altered.",
    ),
    Reason(
        "attest.snp_signature_padding",
        "The report's signature carries bytes where zero must stand.",
        "Collect it again from the guest; if it recurs, the report was altered.",
    ),
    Reason(
        "attest.snp_key_info",
        "Reserved bits of the report's key information are set.",
        "Update strongroom if AMD defined them; otherwise the report was altered.",
    ),
    Reason(
        "attest.snp_signing_key",
        "The report is signed by no key, or by one of an unknown kind.",
        "Let the guest ask for a report that is signed by the VCEK or the VLEK.",
    ),
    Reason(
        "attest.snp_chip_mask",
        "The report says that its chip is masked, and shows a chip's id.",
        "Collect it again from the guest; if it recurs, the report was altered.",
    ),
    Reason(
        "attest.snp_chain_length",
        "The chain is not the key's certificate, the intermediate's and the root.",
        "Pass VCEK or VLEK, then ASK or ASVK, then ARK, and nothing else.",
    ),
    Reason(
        "attest.snp_certificate",
        "A certificate of the chain cannot be read.",
        "Fetch the chain again from AMD's key distribution service.",
    ),
    Reason(
        "attest.snp_key_kind",
        "The certificate is for another kind of key than the report names.",
        "Pass the VCEK's certificate for a VCEK, the VLEK's for a VLEK.",
    ),
    Reason(
        "attest.snp_product_name",
        "The certificate names a product that is not known.",
        "Use Genoa or Turin (or Milan, if the policy names it), or update strongroom.",
    ),
    Reason(
        "attest.snp_product",
        "The report comes from another product than its certificate names.",
        "Fetch the certificate for this chip from AMD's key distribution service.",
    ),
    Reason(
        "attest.snp_root",
        "The chain does not end in AMD's pinned root for the product.",
        "Do not trust this report: whoever signed for it is not AMD.",
    ),
    Reason(
        "attest.snp_intermediate",
        "The intermediate certificate is for another product or kind of key.",
        "Pass the product's ASK for a VCEK, its ASVK for a VLEK.",
    ),
    Reason(
        "attest.snp_names",
        "A certificate of the chain names another issuer.",
        "Fetch the chain again from AMD's key distribution service.",
    ),
    Reason(
        "attest.snp_authority",
        "A certificate of the chain signs others without being allowed to.",
        "Do not trust this report: its chain misuses a certificate.",
    ),
    Reason(
        "attest.snp_critical",
        "A certificate carries a critical extension that is not understood.",
        "Update strongroom if AMD issues such certificates now.",
    ),
    Reason(
        "attest.snp_intermediate_signature",
        "AMD's root did not sign the intermediate certificate.",
        "Fetch the chain again; if it recurs, do not trust this report.",
    ),
    Reason(
        "attest.snp_key_signature",
        "AMD's intermediate did not sign the certificate of the report's key.",
        "Fetch the certificate again; if it recurs, do not trust this report.",
    ),
    Reason(
        "attest.snp_validity",
        "A certificate of the chain is not valid at the time of the verification.",
        "Check the clock; fetch a new certificate and collect a new report.",
    ),
    Reason(
        "attest.snp_crl_missing",
        "No revocation list is at hand, and the policy demands one.",
        "Gather it beforehand with `strongroom attest bundle`.",
    ),
    Reason(
        "attest.snp_crl",
        "A revocation list cannot be read.",
        "Fetch it again from AMD's key distribution service.",
    ),
    Reason(
        "attest.snp_crl_issuer",
        "A revocation list is not by the product's root.",
        "Fetch the list of this product from AMD's key distribution service.",
    ),
    Reason(
        "attest.snp_crl_signature",
        "A revocation list's signature is wrong.",
        "Fetch it again; if it recurs, somebody altered it.",
    ),
    Reason(
        "attest.snp_crl_stale",
        "A revocation list is not the one to go by at this time.",
        "Check the clock, and fetch the list again.",
    ),
    Reason(
        "attest.snp_revoked",
        "AMD has revoked the intermediate certificate.",
        "Do not trust this report; fetch a chain under AMD's new intermediate.",
    ),
    Reason(
        "attest.snp_signature",
        "The report's signature is wrong.",
        "Collect it again from the guest; if it recurs, it was altered or is not this chip's.",
    ),
    Reason(
        "attest.snp_tcb_certificate",
        "The reported TCB is not the one that the key's certificate is for.",
        "Fetch the certificate for exactly this chip and reported TCB.",
    ),
    Reason(
        "attest.snp_hwid_missing",
        "The VCEK's certificate names no chip.",
        "Fetch the certificate again from AMD's key distribution service.",
    ),
    Reason(
        "attest.snp_chip",
        "The report comes from another chip than the VCEK's certificate names.",
        "Fetch this chip's certificate; a hidden id needs allow_masked_chip.",
    ),
    Reason(
        "attest.snp_csp_missing",
        "The VLEK's certificate names no cloud.",
        "Fetch the certificate again from the cloud.",
    ),
    Reason(
        "attest.snp_policy_bit_17",
        "Bit 17 of the guest's policy, which is always one, is zero.",
        "Collect it again from the guest; if it recurs, the report was altered.",
    ),
    Reason(
        "attest.snp_policy_unknown",
        "The guest's policy allows something that is not understood.",
        "Launch the guest with known policy bits only, or update strongroom.",
    ),
    Reason(
        "attest.snp_debug",
        "The guest may be debugged: its host can read its memory.",
        "Launch it without the debug bit; no policy can accept this.",
    ),
    Reason(
        "attest.snp_migration_agent",
        "The guest may be migrated by an agent that this report does not cover.",
        "Launch it without a migration agent; no policy can accept this.",
    ),
    Reason(
        "attest.snp_product_choice",
        "The product is not among those that the owner accepts.",
        "Run on an accepted product, or add it to products; Milan must be named on purpose.",
    ),
    Reason(
        "attest.snp_key_choice",
        "The report's kind of key is not among those that the owner accepts.",
        "Ask for a report by an accepted key, or add VLEK to signing_keys.",
    ),
    Reason(
        "attest.snp_csp",
        "The cloud of the VLEK is not among those that the owner accepts.",
        "Run in an accepted cloud, or add it to csps.",
    ),
    Reason(
        "attest.snp_chip_choice",
        "The chip is not among those that the owner accepts.",
        "Run on an accepted chip, or add its id to chips.",
    ),
    Reason(
        "attest.snp_smt",
        "The guest may run where two threads share a core.",
        "Launch it with SMT forbidden, or set allow_smt on purpose.",
    ),
    Reason(
        "attest.snp_single_socket",
        "The guest may run on several sockets.",
        "Launch it with the single-socket bit, or leave out require_single_socket.",
    ),
    Reason(
        "attest.snp_cxl",
        "The guest's memory may stand in CXL devices.",
        "Launch it with CXL forbidden, or set allow_cxl on purpose.",
    ),
    Reason(
        "attest.snp_vmpl",
        "The report was asked for from a privilege level that the owner does not accept.",
        "Ask from an accepted level, or add it to vmpls (AWS reports 1).",
    ),
    Reason(
        "attest.snp_alias_check",
        "The platform does not state that no memory is aliased.",
        "Update the host's firmware, or clear require_alias_check on purpose.",
    ),
    Reason(
        "attest.snp_provisional",
        "The firmware that runs is not committed: the host can still roll it back.",
        "Let the host commit its firmware, or set allow_provisional_firmware.",
    ),
    Reason(
        "attest.snp_tcb_reported",
        "The reported TCB is below the owner's floor, or the product has no floor.",
        "Update the host's firmware, or lower minimum_tcb on purpose.",
    ),
    Reason(
        "attest.snp_tcb_committed",
        "The committed TCB is below the owner's floor.",
        "Let the host update and commit its firmware, or lower minimum_tcb on purpose.",
    ),
    Reason(
        "attest.snp_tcb_launch",
        "The guest was launched on a TCB below the owner's floor.",
        "Launch the guest again on the updated host.",
    ),
    Reason(
        "attest.snp_platform",
        "The platform lacks a feature that the owner demands.",
        "Turn it on in the host's firmware, or leave it out of require_platform.",
    ),
    Reason(
        "attest.snp_measurement",
        "The guest's launch measurement is not among those that the owner accepts.",
        "Launch the image that was approved, or add its digest to measurements.",
    ),
    Reason(
        "attest.snp_id_key",
        "The guest's ID block is not signed by a key that the owner accepts.",
        "Launch the guest with the owner's ID block.",
    ),
    Reason(
        "attest.snp_author_key",
        "The guest's ID key is not signed by an author that the owner accepts.",
        "Launch the guest with an ID block that the author's key vouches for.",
    ),
    Reason(
        "attest.snp_guest_svn",
        "The guest's security version is below the owner's least.",
        "Launch a newer image.",
    ),
    Reason(
        "attest.snp_host_data",
        "The host's data in the report is not what the owner expects.",
        "Launch the guest with the expected host data, or correct host_data.",
    ),
    Reason(
        "attest.snp_report_data",
        "The report answers another challenge: what the workload bound is not what is expected.",
        "Collect a report for the nonce and key of this request.",
    ),
)
