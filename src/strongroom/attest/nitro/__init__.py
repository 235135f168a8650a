"""AWS Nitro Enclaves: an attestation document in, facts or a refusal out.

- `cbor`: the part of CBOR that the Nitro Security Module writes, read strictly.
- `document`: the COSE_Sign1 structure and the fields inside.
- `expectations`: what an owner may choose.
- `verify`: the numbered list of checks.
"""
