"""What the tests of TDX and SGX share: expectations, the simulated root, the real evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from strongroom.attest.dcap.collateral import from_json
from strongroom.attest.dcap.policy import PlatformPolicy
from strongroom.attest.interface import Facts
from strongroom.attest.sgx import verify as sgx
from strongroom.attest.sgx.expectations import Expectations as SgxExpectations
from strongroom.attest.tdx import verify as tdx
from strongroom.attest.tdx.expectations import Expectations as TdxExpectations
from strongroom.errors import AttestationRefused
from tests.attest.simulated import intel

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "attestation"
ROOT = hashlib.sha256(intel.root_der()).hexdigest()
PLATFORM = PlatformPolicy(allow_smt=True, allow_dynamic=True, allow_cached_keys=True)
DATA = bytes([0xDA] * 64)
#: When the collateral of the real quotes was valid.
REAL_2025 = int(datetime(2025, 7, 1, tzinfo=UTC).timestamp())
REAL_2026 = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())

real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real evidence is not in {REAL}")


def blob(name: str) -> bytes:
    return (REAL / name).read_bytes()


def pieces(name: str) -> dict[str, bytes]:
    return from_json(blob(name))


def platform(**changes: Any) -> PlatformPolicy:
    values = {name: getattr(PLATFORM, name) for name in PLATFORM.__struct_fields__}
    return PlatformPolicy(**(values | changes))


def td(**changes: Any) -> TdxExpectations:
    return TdxExpectations(**({"platform": PLATFORM, "report_data": DATA.hex()} | changes))


def enclave(**changes: Any) -> SgxExpectations:
    return SgxExpectations(**({"platform": PLATFORM, "report_data": DATA.hex()} | changes))


def check_td(quote: bytes, expectations: TdxExpectations | None = None, **changes: Any) -> Facts:
    """Verify under the simulated root, with its collateral, unless ``changes`` say otherwise."""
    arguments: dict[str, Any] = {"now": intel.NOW, "collateral": intel.collateral(), "root": ROOT}
    return tdx.verify(quote, expectations=expectations or td(), **(arguments | changes))


def check_enclave(
    quote: bytes, expectations: SgxExpectations | None = None, **changes: Any
) -> Facts:
    """As `check_td`, for an enclave."""
    arguments = {"now": intel.NOW, "collateral": intel.collateral("SGX"), "root": ROOT}
    return sgx.verify(quote, expectations=expectations or enclave(), **(arguments | changes))


@contextmanager
def refused(code: str) -> Iterator[None]:
    """The block is refused with exactly ``code``."""
    with pytest.raises(AttestationRefused) as caught:
        yield
    assert caught.value.code == code
