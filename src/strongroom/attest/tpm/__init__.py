"""TPM 2.0 quotes: that a TPM signed these PCR values for this nonce, and whose TPM it is.

``wire`` reads the TPM's structures, ``ak`` establishes whose attestation key signed, ``quote``
judges one quote, ``eventlog`` replays a measured-boot log. ``credential`` makes the challenge that
proves an attestation key to live beside an endorsement key. All of it is pure.

Source: TCG TPM 2.0 Library, parts 1 and 2 (revision 1.59); TCG PC Client Platform Firmware
Profile 1.05 for the event log; TCG EK Credential Profile 2.5 for endorsement certificates.
"""
