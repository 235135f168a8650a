"""Azure's confidential VMs on SEV-SNP: guests reach the hardware's report only through a vTPM.

The paravisor (HCL) asks for one report at the start, whose report data is the SHA-256 of its
runtime claims, which name the vTPM's attestation key (AK). Freshness comes from a quote by it.

- ``hcl``: the framing of report and claims; ``verify``: the numbered checks; ``expectations``: what
  an owner may choose; ``reasons``: the codes; ``bundled``: the same from a bundle.

The report is judged by :mod:`strongroom.attest.snp`, the quote by :mod:`strongroom.attest.tpm`.
Source: Microsoft, "Confidential VM guest attestation", and the layout of the genuine captures.
"""
