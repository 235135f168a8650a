"""EAR tokens: what the service found about a workload, signed, for whoever wants to rely on it.

An EAT attestation result (draft-ietf-rats-ear-04, a profile of RFC 9711) as a JWT signed with
ES256. It states a verdict over evidence; it is no key and no permission by itself.

- ``appraisal``: verified facts as trustworthiness claims and status.
- ``token``: the claims around them, and the signature.
- ``token_key``: the P-256 key that signs, which relying parties pin.
"""
