"""Attestation: evidence in, facts or a refusal with a reason code out.

What may enter: bytes of evidence, the time, pinned roots, collateral that was gathered before.
What this room touches: nothing else. It opens no connection and reads no clock; `collect` alone
reads the guest's own devices.

- ``interface``: what every verifier takes and gives, and the list of checks it leaves behind.
- one folder or file a kind: ``snp``, ``tdx``, ``nitro``, ``tpm``, ``nvidia``, ``local``.

Evidence proves what the platform measured and which key signed it. It does not prove where the
machine stands or who holds it; ``docs/attestation.md`` says what each kind leaves open.
"""
