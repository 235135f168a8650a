"""The committed simulated Intel is what its script writes, byte for byte."""

from __future__ import annotations

import json

import pytest

from strongroom.attest.dcap.collateral import from_json
from tests.attest.dcap.second import genuine
from tests.attest.dcap.support import check_enclave, check_td
from tests.attest.simulated import intel

FIXTURES = intel.fixtures()


@pytest.mark.parametrize("name", FIXTURES)
def test_the_script_writes_what_is_committed(name: str) -> None:
    assert (intel.FOLDER / name).read_bytes() == FIXTURES[name]


def test_the_committed_files_verify() -> None:
    collateral = from_json((intel.FOLDER / "tdx_collateral.json").read_bytes())
    for name in ("tdx_v4.bin", "tdx_v5.bin"):
        quote = (intel.FOLDER / name).read_bytes()
        assert check_td(quote, collateral=collateral).product == "TDX"
        assert genuine(quote, intel.root_der())
    collateral = from_json((intel.FOLDER / "sgx_collateral.json").read_bytes())
    quote = (intel.FOLDER / "sgx_v3.bin").read_bytes()
    assert check_enclave(quote, collateral=collateral).product == "SGX"


def test_the_collateral_is_stored_as_pcs_clients_store_it() -> None:
    stored = json.loads(FIXTURES["tdx_collateral.json"])
    assert bytes.fromhex(stored["pck_crl"])
    assert stored["tcb_info"].startswith('{"id":"TDX"')
