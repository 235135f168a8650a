"""The pinned roots are the ones that their owners publish, and what they signed is read."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from strongroom.attest.certificates import read_pem
from strongroom.attest.dcap.platform import INTEL_ROOT
from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.nitro.verify import AWS_ROOT
from strongroom.attest.nvidia import rim
from strongroom.attest.nvidia.expectations import DEVICE_ROOT, RIM_ROOT
from strongroom.attest.snp.expectations import Expectations
from strongroom.attest.snp.products import ROOTS
from strongroom.attest.snp.verify import Evidence, verify
from tests.attest.simulated import amd

IN_2025 = 1_750_000_000
PUBLISHED = {
    "nitro/aws_root_g1.pem": AWS_ROOT,
    "nvidia/nvidia_device_root.pem": DEVICE_ROOT,
    "nvidia/nvidia_rim_root.pem": RIM_ROOT,
    "nvidia/rim_root_alt.crt": RIM_ROOT,
    "tdx/intel_sgx_root_ca.der": INTEL_ROOT,
    "snp/milan_ask_ark_asvk.pem": ROOTS["Milan"],
    "snp/genoa_ask_ark_asvk.pem": ROOTS["Genoa"],
    "snp/turin_ask_ark_asvk.pem": ROOTS["Turin"],
}


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "attestation"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_pin_is_the_published_root(folder: Path, name: str) -> None:
    raw = (folder / name).read_bytes()
    found = [raw] if name.endswith("der") else read_pem(raw)
    assert PUBLISHED[name] in {sha256(der).hexdigest() for der in found}


def test_a_genuine_driver_manifest_is_read(folder: Path) -> None:
    document = (folder / "nvidia/rim_driver_550.144.03.xml").read_bytes()
    found = rim.read(document, RIM_ROOT)
    assert found.version == "550.144.03"
    with pytest.raises(EvidenceRefused) as refused:
        rim.read(document, DEVICE_ROOT)
    assert refused.value.code == "attest.nvidia_root"


def test_a_chip_key_from_a_cloud_leads_to_amd(folder: Path) -> None:
    """It came without its report: all before the report's signature holds."""
    leaf, *authorities = read_pem((folder / "snp/azure_milan_v2_vcek.pem").read_bytes())
    evidence = Evidence(amd.Fields("Milan").report(), (leaf, *authorities))
    with pytest.raises(EvidenceRefused) as refused:
        verify(evidence, now=IN_2025, expectations=Expectations(products=frozenset({"Milan"})))
    assert refused.value.code == "attest.snp_signature"
