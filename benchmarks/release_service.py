"""How long a workload waits for its key from `release serve`, with each decision on the disk.

A real service of a fresh home. Its Unix socket, `local` evidence: challenge, evidence, verdict,
policy, lineage, unwrapping, HPKE, and the record's fsync. Then whole sessions on the KBS wire over
loopback HTTP, one connection a request: challenge, a simulated SEV-SNP guest's evidence, token,
JWE; the guest's own work is counted.

``PYTHONPATH=. python benchmarks/release_service.py [--times 400]``
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from strongroom.cli.main import run as strongroom
from tests.cli.conftest import Made
from tests.cli.test_release_serve import Service, policy, serving
from tests.cli.tiny_llama import write_tiny_llama
from tests.release.kbs.guest import Guest


def told(name: str, times: int, once: Callable[[], object]) -> None:
    """Print how long ``once`` took, the first ten times not counted."""
    found = []
    for _ in range(times + 10):
        began = time.perf_counter()
        once()
        found.append(time.perf_counter() - began)
    found = sorted(1e3 * seconds for seconds in found[10:])
    print(
        f"{name}: {len(found)} times, median {statistics.median(found):.2f} ms, "
        f"99th percentile {found[int(len(found) * 0.99)]:.2f} ms, most {found[-1]:.2f} ms"
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=400)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        made = Made(work / "home", write_tiny_llama(work / "tiny"), work / "tiny.sealed")
        strongroom(["--home", str(made.home), "init"])
        strongroom(["--home", str(made.home), "seal", str(made.plain), "--out", str(made.sealed)])
        with serving(made, policy(work / "policy.toml")) as service:
            with service.line() as line:
                told("native wire", times, lambda: service.obtain(line).key.wipe())
            told("KBS wire", times, lambda: _session(service))
            service.end()
    return 0


def _session(service: Service) -> None:
    guest = Guest()
    status, sealed = service.fetch(service.attested(guest))
    if status != 200:
        raise RuntimeError(sealed)
    guest.open(sealed)


if __name__ == "__main__":
    sys.exit(main())
