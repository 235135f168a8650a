"""Why NVIDIA evidence is refused: one code a check, with sentence and remedy."""

from __future__ import annotations

from strongroom.attest.interface import Reason, table

REASONS = table(
    Reason(
        "attest.nvidia_evidence",
        "The GPU evidence is not in a form that is understood.",
        "Pass a list of devices, each with arch, evidence and certificate, as collectors write it.",
    ),
    Reason(
        "attest.nvidia_request",
        "The report does not begin with its SPDM 1.1 request.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_response",
        "The report holds no SPDM 1.1 response.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_blocks",
        "The measurement blocks are not framed as required.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_opaque",
        "The report's opaque fields are not framed as required.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_trailing",
        "The report does not end with its signature.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_certificate",
        "A certificate of the evidence cannot be read, or is not P-384 with SHA-384.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_chain_length",
        "The certificate chain has not the length that NVIDIA issues.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_root",
        "The certificate chain does not end in NVIDIA's pinned root.",
        "Do not trust this device: whoever signed for it is not NVIDIA.",
    ),
    Reason(
        "attest.nvidia_chain_names",
        "A certificate names another issuer.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_authority",
        "A certificate signs others without being allowed to.",
        "Do not trust this evidence: its chain misuses a certificate.",
    ),
    Reason(
        "attest.nvidia_signer",
        "The signing certificate may not sign, or is an authority itself.",
        "Do not trust this evidence: its chain misuses a certificate.",
    ),
    Reason(
        "attest.nvidia_critical",
        "A certificate carries a critical extension that is not understood.",
        "Update strongroom if NVIDIA issues such certificates now.",
    ),
    Reason(
        "attest.nvidia_chain_signature",
        "A certificate's signature is wrong.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_validity",
        "A certificate is not valid at the time of the verification.",
        "Check the clock, and use evidence and manifests whose certificates are valid now.",
    ),
    Reason(
        "attest.nvidia_revoked",
        "A certificate is on the owner's list of revoked ones.",
        "Replace the device or manifest that the certificate stands for.",
    ),
    Reason(
        "attest.nvidia_signature",
        "The device's signature over the report is wrong.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_nonce",
        "The report answers another nonce.",
        "Collect evidence for the nonce that was issued, bound to the CPU's evidence.",
    ),
    Reason(
        "attest.nvidia_chip",
        "The certificate names a chip that is not known.",
        "Update strongroom, or use a chip that the documentation lists.",
    ),
    Reason(
        "attest.nvidia_architecture",
        "The evidence claims another architecture than its certificate.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_tcb_info",
        "The device's certificate holds no readable firmware identity (FWID).",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_debug_firmware",
        "The device's certificate says that its firmware is in debug or recovery mode.",
        "Use a device with production firmware.",
    ),
    Reason(
        "attest.nvidia_fwid_missing",
        "The report names no firmware identity (FWID).",
        "Update the driver, or allow missing_fwid for drivers that predate it.",
    ),
    Reason(
        "attest.nvidia_fwid",
        "The firmware that reports is not the firmware that was certified.",
        "Restart the device; if it recurs, take it out of service.",
    ),
    Reason(
        "attest.nvidia_field",
        "A field of the report that is needed is absent or malformed.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_mode_conflict",
        "The report contradicts itself about protected PCIe.",
        "Collect the evidence again from the device; if it recurs, the evidence was altered.",
    ),
    Reason(
        "attest.nvidia_product",
        "The chip is not among those that the owner allows.",
        "Run on an allowed chip, or add it to chips.",
    ),
    Reason(
        "attest.nvidia_mode",
        "The device's confidential-computing mode is not among those that the owner allows.",
        "Switch the mode, or add it to modes.",
    ),
    Reason(
        "attest.nvidia_driver_version",
        "The driver's version is not among those that the owner allows.",
        "Install an allowed driver, or add the version to driver_versions.",
    ),
    Reason(
        "attest.nvidia_vbios_version",
        "The VBIOS version is not among those that the owner allows.",
        "Flash an allowed VBIOS, or add the version to vbios_versions.",
    ),
    Reason(
        "attest.nvidia_driver_rim",
        "No signed manifest for this driver's version is at hand.",
        "Fetch the driver's RIM beforehand with `strongroom attest bundle`.",
    ),
    Reason(
        "attest.nvidia_vbios_rim",
        "No signed manifest for this VBIOS version is at hand.",
        "Fetch the VBIOS RIM beforehand with `strongroom attest bundle`.",
    ),
    Reason(
        "attest.nvidia_rim_conflict",
        "Both manifests claim the same measurement.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_rim_duplicate",
        "Two manifests claim the same product and version.",
        "Pass each manifest once.",
    ),
    Reason(
        "attest.nvidia_measurement",
        "A measurement differs from the signed manifest.",
        "Do not trust this device: firmware, configuration, debug or secure-boot state differs.",
    ),
    Reason(
        "attest.nvidia_rim_size",
        "A manifest is larger than any genuine one.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_rim_markup",
        "A manifest holds a DTD, entity, comment, CDATA or processing instruction.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_rim_xml",
        "A manifest is not well-formed XML.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_rim_structure",
        "A manifest holds other elements than a signed SWID tag has.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_rim_signature",
        "A manifest's signature is wrong.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_rim_values",
        "A manifest's version, product or reference values are malformed.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_rim_empty",
        "A manifest claims no active measurement at all.",
        "Fetch the manifest again from NVIDIA's RIM service; if it recurs, it was altered.",
    ),
    Reason(
        "attest.nvidia_count",
        "The number of GPUs is not the one that the owner expects.",
        "Attest every GPU of the machine, or correct count.",
    ),
    Reason(
        "attest.nvidia_duplicate",
        "Two pieces of evidence come from the same device.",
        "Attest every device once.",
    ),
    Reason(
        "attest.nvidia_device",
        "A device is not on the owner's list.",
        "Use a listed device, or add its id to devices.",
    ),
    Reason(
        "attest.nvidia_mixed",
        "The GPUs of one machine are different chips or in different modes.",
        "Put all GPUs in one mode, and attest different chips separately.",
    ),
    Reason(
        "attest.nvidia_switches_missing",
        "The GPUs use protected PCIe, but not exactly their NVSwitches were attested.",
        "Attest every NVSwitch that the GPUs name, or allow unattested_switches.",
    ),
    Reason(
        "attest.nvidia_switch_topology",
        "An NVSwitch connects other GPUs than those that were attested.",
        "Attest every GPU that the switches connect.",
    ),
)
