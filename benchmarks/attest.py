"""Verifications a second on one core, by kind of evidence.

Run alone on the machine: ``python -m benchmarks.attest [KIND ...]``. Another kind is one function
in ``KINDS`` that returns what verifies once (with warm caches of what never changes, such as
certificates) and what forgets those caches (``None`` where there are none).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

SECONDS = 2.0
ROUNDS = 5
Run = tuple[Callable[[], object], Callable[[], object] | None]


def snp() -> Run:
    """A Genoa report of the simulated AMD, with its revocation list."""
    from strongroom.attest import certificates
    from strongroom.attest.snp.endorsement import read_endorsement
    from strongroom.attest.snp.verify import Evidence, verify
    from tests.attest.simulated import amd
    from tests.attest.snp.world import PINNED, expectations

    case = amd.good("Genoa")
    evidence = Evidence(case.report, case.certificates, (amd.load("Genoa", "crl"),))
    expected = expectations("Genoa", require_crl=True)

    def once() -> object:
        return verify(evidence, now=amd.NOW, expectations=expected, roots=PINNED)

    def forget() -> None:
        certificates.forget()
        read_endorsement.cache_clear()

    return once, forget


def azure_snp() -> Run:
    """A simulated Azure VM: hardware report, claims and quote."""
    from strongroom.attest.azure.verify import verify
    from tests.attest.azure.test_azure import EXPECTED, simulated
    from tests.attest.simulated import amd
    from tests.attest.snp.world import PINNED

    evidence = simulated()
    return lambda: verify(evidence, now=amd.NOW, expectations=EXPECTED, roots=PINNED), None


def nvidia() -> Run:
    """An H100 with both manifests; cold forgets those too."""
    from benchmarks.attest_devices import gpu

    return gpu()


def nvidia_manifests() -> Run:
    """The same; cold forgets certificates, but not the manifests that were read."""
    from benchmarks.attest_devices import gpu

    return gpu(remember_manifests=True)


def tpm() -> Run:
    """A quote by a certified P-256 key, with its event log."""
    from benchmarks.attest_devices import tpm_quote

    return tpm_quote()


def quote(name: str) -> Run:
    """A case of ``attest_quotes``, whose name says what was read before."""
    from benchmarks.attest_quotes import CASES

    return CASES[name](), None


QUOTES = (
    "tdx-cold",
    "tdx-collateral",
    "tdx-platform",
    "sgx-cold",
    "nitro-cold",
    "nitro-intermediates",
    "nitro-enclave",
    "p384",
)
KINDS: dict[str, Callable[[], Run]] = {
    "snp": snp,
    "azure-snp": azure_snp,
    "nvidia": nvidia,
    "nvidia-rims": nvidia_manifests,
    "tpm": tpm,
    **{name: partial(quote, name) for name in QUOTES},
}


def cold(once: Callable[[], object], forget: Callable[[], object]) -> None:
    """Once, with nothing read before."""
    forget()
    once()


def rate(once: Callable[[], object]) -> float:
    """Median over rounds of calls a second of processor time; wall time would count neighbours."""
    once()
    rates = []
    for _ in range(ROUNDS):
        count, start = 0, time.process_time()
        while time.process_time() - start < SECONDS / ROUNDS:
            once()
            count += 1
        rates.append(count / (time.process_time() - start))
    return statistics.median(rates)


def main(names: list[str]) -> None:
    for name in names or list(KINDS):
        once, forget = KINDS[name]()
        line = f"{name:20} {rate(once):8.0f} a second"
        if forget is not None:
            line += f" with what was read before; {rate(partial(cold, once, forget)):.0f} cold"
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
