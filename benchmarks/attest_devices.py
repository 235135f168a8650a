"""What ``benchmarks.attest`` times for GPUs and TPMs, under simulated roots.

A GPU is an H100 with its driver's and VBIOS manifests; a quote is of eight PCRs with an event log,
its key certified by a chain of three.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.attest import certificates
from strongroom.attest.interface import Checks
from strongroom.attest.nvidia import rim
from strongroom.attest.nvidia.verify import Evidence, verify
from strongroom.attest.tpm import quote
from strongroom.attest.tpm.reasons import REASONS
from tests.attest.nvidia import world as nvidia
from tests.attest.simulated import tpm as sim_tpm
from tests.attest.tpm import world as tpm

Run = tuple[Callable[[], object], Callable[[], object] | None]


def gpu(*, remember_manifests: bool = False) -> Run:
    """A GPU; cold forgets all certificates, and the manifests unless they are remembered."""
    evidence = Evidence(nvidia.evidence_of(nvidia.gpu()), nvidia.RIMS[:2])

    def once() -> object:
        return verify(evidence, now=nvidia.sim.NOW, roots=nvidia.ROOTS, expectations=nvidia.STRICT)

    def forget() -> None:
        certificates.forget()
        if not remember_manifests:
            rim.forget()

    return once, forget


def tpm_quote(key: str = "ak") -> Run:
    """A quote; nothing is remembered between two but the strict reading of certificates."""
    sample = sim_tpm.Sample(key=tpm.PARTIES[key].key, pcrs=sim_tpm.logged_pcrs())
    made = quote.Quote(sample.message, sample.signature, sample.pcrs, sim_tpm.log())
    chain = (tpm.PARTIES[key].der, *tpm.UPPER)

    def once() -> object:
        ak = tpm.certified(*chain)
        return quote.verify(made, ak, Checks(REASONS), expectations=tpm.STRICT)

    return once, certificates.forget
