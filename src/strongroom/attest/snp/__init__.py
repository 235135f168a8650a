"""AMD SEV-SNP: attestation reports of Milan, Genoa and Turin processors.

What may enter: a report of 1184 bytes, the chain that endorses its key, revocation lists, the time.
Facts come out, or a refusal whose code begins with ``attest.snp_``.

- ``report``: the layout; ``products``: which processors, how each lays out its TCB, pinned roots.
- ``endorsement``: what AMD's certificates say about a chip or a cloud.
- ``verify``: the numbered checks; ``expectations``: what an owner may choose, and ``choices``: how
  that is compared; ``facts``: what comes out; ``reasons``: the codes.
- ``bundled``: the same from a bundle.

Source: AMD, "SEV Secure Nested Paging Firmware ABI Specification" (56860), and "Versioned Chip
Endorsement Key (VCEK) Certificate and KDS Interface Specification" (57230).
"""
