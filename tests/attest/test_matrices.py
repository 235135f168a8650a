"""The promised size of each matrix of refusals: no case can leave one unseen.

Every case is run, with its code asserted, by the module that it stands in. The protocol's attacks
are no table; there the codes that the tests of the native wire name are counted.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.attest.azure import test_azure
from tests.attest.nitro import test_semantic as nitro
from tests.attest.nvidia import test_refusals as nvidia
from tests.attest.nvidia import test_rim
from tests.attest.sgx import test_semantic as sgx
from tests.attest.simulated import amd
from tests.attest.snp import test_refusals as snp
from tests.attest.tdx import test_semantic as tdx
from tests.attest.tpm import test_refusals as tpm

RELEASE = Path(__file__).resolve().parents[1] / "release"
NATIVE = ("attacks", "approvals", "evidence", "matrix")
CODE = re.compile(r"(release|keys|attest)\.[a-z0-9_]+")
SIZES = {  # cases: promised, and there
    "snp": (24, len(snp.THE_24)),
    "snp, further": (38, len(snp.MORE)),
    "tdx": (106, len(tdx.CASES)),
    "sgx": (33, len(sgx.REPORTS) + len(sgx.WANTED) + len(sgx.FRAMED)),
    "nitro": (62, len(nitro.DOCUMENTS) + len(nitro.WANTED)),
    "nvidia": (97, len(nvidia.DEVICE) + len(nvidia.CHOICES)),
    "manifests": (56, len(test_rim.ATTACKS)),
    "tpm": (85, len(tpm.CASES)),
    "azure": (16, len(test_azure.CASES)),
}
CODES = {  # different codes: promised, and there
    "snp": (23, {code for _, code in snp.THE_24.values()}),
    "tdx": (38, {case()[0] for case in tdx.CASES.values()}),
    "nvidia": (25, {code for code, _ in (*nvidia.DEVICE.values(), *nvidia.CHOICES.values())}),
    "nitro": (15, {code for code, _ in (*nitro.DOCUMENTS.values(), *nitro.WANTED.values())}),
    "tpm": (20, {code for code, _ in tpm.CASES.values()}),
}


@pytest.mark.parametrize("matrix", SIZES)
def test_no_case_has_gone(matrix: str) -> None:
    promised, there = SIZES[matrix]
    assert there >= promised


@pytest.mark.parametrize("matrix", CODES)
def test_cases_have_codes_of_their_own(matrix: str) -> None:
    promised, there = CODES[matrix]
    assert len(there) >= promised


def test_snp_is_judged_for_three_products() -> None:
    assert set(amd.PRODUCTS) == {"Milan", "Genoa", "Turin"}


def test_the_native_wire_refuses_for_many_reasons() -> None:
    named = set()
    for name in NATIVE:
        source = (RELEASE / f"test_release_{name}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)
    codes = {text for text in named if CODE.fullmatch(text)}
    assert len({code for code in codes if code.startswith("release.")}) >= 25
    assert len(codes) >= 40
