"""Intel SGX: a quote about an enclave in, facts or a refusal out.

- `expectations`: what an owner may choose.
- `verify`: the numbered list of checks. Platform and framing are those of `dcap`.
"""
