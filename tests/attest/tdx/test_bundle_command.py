"""``attest bundle`` takes Intel's collateral as PCS clients keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.attest.bundle import decode
from strongroom.cli.main import run
from tests.attest.dcap.support import check_enclave, check_td
from tests.attest.simulated import intel


@pytest.mark.parametrize(("kind", "quote"), [("tdx", "tdx_v5.bin"), ("sgx", "sgx_v3.bin")])
def test_the_bundle_holds_the_nine_parts(kind: str, quote: str, tmp_path: Path) -> None:
    target = tmp_path / "evidence.json"
    given = ["--part", f"quote={intel.FOLDER / quote}"]
    given += ["--collateral", f"pcs={intel.FOLDER / f'{kind}_collateral.json'}"]
    assert run(["attest", "bundle", kind, str(target), *given]) == 0
    bundle = decode(target.read_bytes())
    check = check_td if kind == "tdx" else check_enclave
    assert check(bundle.evidence["quote"], collateral=bundle.collateral).kind == kind
