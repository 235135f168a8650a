"""NVIDIA GPUs and NVSwitches: reports, certificates and reference manifests (RIMs).

``report`` parses what the device signed, ``chain`` and ``rim`` establish who signed, ``device``
judges one device against its two RIMs, ``verify`` judges all devices of a machine together. All
of it is pure: bytes in, facts or a refusal out, no network. ``evidence`` reads the JSON and text
forms in which collectors hand reports over.

Sources: DMTF DSP0274 (SPDM 1.1), TCG DICE Attestation Architecture 1.1, ISO/IEC 19770-2 (SWID),
W3C XML Signature 1.1, and the layout of NVIDIA's opaque data as published in its attestation SDK.
"""
