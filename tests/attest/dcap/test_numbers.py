"""The facts' record names every numbered check of the verifiers' docstrings, and no other."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from strongroom.attest.dcap import platform, quote
from strongroom.attest.interface import Facts
from strongroom.attest.nitro import verify as nitro_verify
from strongroom.attest.sgx import verify as sgx_verify
from strongroom.attest.tdx import verify as tdx_verify
from tests.attest.dcap.support import check_enclave, check_td
from tests.attest.simulated import intel


def numbered(*modules: ModuleType) -> set[str]:
    found = (re.findall(r"^([A-Z]\d+)\. ", module.__doc__ or "", re.M) for module in modules)
    return {number for numbers in found for number in numbers}


def made(facts: Facts) -> set[str]:
    return {check.number for check in facts.checks}


@pytest.mark.parametrize("version", [4, 5])
def test_trust_domains(version: int) -> None:
    wanted = numbered(quote, platform, tdx_verify)
    assert len(wanted) == 10 + 15 + 19
    facts = check_td(intel.tdx(version=version))
    assert made(facts) == wanted - ({"Q7"} if version == 4 else set())


def test_enclaves() -> None:
    wanted = numbered(quote, platform, sgx_verify)
    assert len(wanted) == 10 + 15 + 11
    assert made(check_enclave(intel.sgx())) == wanted - {"Q7"}


def test_the_code_of_each_check_is_in_the_record() -> None:
    """Some numbers have several codes; each must have been asked for."""
    codes = {check.code for check in check_td(intel.tdx()).checks}
    assert {f"attest.tdx_rtmr{i}" for i in range(4)} <= codes
    assert {"attest.tdx_mrconfigid", "attest.tdx_mrowner", "attest.tdx_mrownerconfig"} <= codes
    assert {"attest.dcap_certificate_early", "attest.dcap_collateral_early"} <= codes
    assert len(numbered(nitro_verify)) == 21
