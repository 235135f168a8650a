"""Who is copying the model through its own answers: streaming detectors over one and many tenants.

- ``interface``: queries in, signals out, thresholds, and what a signal may do.
- ``sketching``: the only code that sees tokens or inputs; keeps hashes and projections by a secret.
- ``recombination``: prompts new as a whole and made of old parts: grids, enumerations, sweeps.
- ``coverage``: how evenly new text covers the vocabulary.
- ``clusters``: templates that many organisations share: one extraction over many accounts.
- ``distances``: the PRADA test on distances between classifier inputs.
- ``population``: classifier inputs compared with those of all other organisations.
- ``detector``: ``Detector.observe``, the one entry point.

Bounded in memory and in time for each request. Imports numpy, and nothing of the request path.
"""
