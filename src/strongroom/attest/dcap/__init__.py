"""What TDX and SGX share: Intel's quote, its collateral and its certificate chains (DCAP).

What may enter: bytes of a quote, collateral gathered before, the time. Signatures and TCB levels
are judged by ``dcap-qvl`` under its strict policy (`strict`); framing, dates, revocation, pinning
and everything about what runs inside are ours.

- `quote`: strict framing of quotes 3, 4 and 5.
- `pem`: canonical certificate chains, the pinned root.
- `collateral`: TCB info, QE identity and revocation lists, read strictly.
- `policy`: what an owner may choose about the platform.
- `strict`: dcap-qvl, and what its refusals are called here.
- `cache`: remembers what was found of a platform, so that only a quote's signature is new.
- `platform`: the numbered checks that both verifiers begin with.
"""
