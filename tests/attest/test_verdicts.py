"""The manifest of the shared evidence, walked item by item: accepted, or refused with its code.

An item that is no evidence by itself (a certificate, collateral, a log) is named with the evidence
that it belongs to, or as one that belongs to none. Why a verdict is right stands in the tests of
its kind.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from strongroom.attest.bundle import Bundle
from strongroom.attest.interface import Checks, Facts
from strongroom.attest.nitro.expectations import Expectations as Nitro
from strongroom.attest.nitro.verify import verify as nitro
from strongroom.attest.nvidia import verify as nvidia
from strongroom.attest.nvidia.device import DeviceEvidence
from strongroom.attest.nvidia.evidence import read_hex
from strongroom.attest.registry import verify_bundle
from strongroom.attest.sgx.verify import verify as sgx
from strongroom.attest.tpm import quote as tpm
from strongroom.attest.tpm.ak import AttestationKey
from strongroom.attest.tpm.expectations import Expectations as Tpm
from strongroom.attest.tpm.reasons import REASONS
from strongroom.errors import AttestationRefused
from tests.attest.azure import test_azure as azure
from tests.attest.dcap.support import REAL, REAL_2025, blob, enclave, pieces, real
from tests.attest.nitro.support import DEBUG_NOW, REAL_NOW, captured
from tests.attest.nvidia import test_genuine as gpus
from tests.attest.snp import test_genuine as snp
from tests.attest.tdx import test_real as tdx

pytestmark = real
Judge = Callable[[], Facts]


def milan(leaf: str) -> Judge:
    return snp.Item("milan_v2_report.bin", leaf, "Milan").verify


def debug_report() -> Facts:
    item = snp.Item("milan_v2_DEBUG_report.bin", "milan_v2_DEBUG_vcek.der", "Milan")
    return item.verify(products=snp.MILAN, allow_smt=True, require_alias_check=False)


def of_azure(name: str) -> Judge:
    def judge() -> Facts:
        evidence, expected = azure.genuine(name)
        return azure.verify(evidence, now=azure.IN_2025, expectations=expected)

    return judge


def domain(name: str, collateral: str = "", now: int = REAL_2025) -> Judge:
    return lambda: tdx.check(blob(f"tdx/{name}"), collateral, now)


def azure_domain() -> Facts:
    capture = json.loads(blob("tdx/azure_tdx_vtpm.json"))
    return tdx.check(base64.urlsafe_b64decode(capture["td_quote"] + "=="))


def real_enclave() -> Facts:
    bundle = Bundle(
        kind="sgx",
        evidence={"quote": blob("sgx/v3_quote.bin")},
        collateral=pieces("sgx/v3_collateral.json"),
    )
    chosen = {
        "any_report_data": True,
        "platform": {"statuses": ["ConfigurationAndSWHardeningNeeded"]},
    }
    (facts,) = verify_bundle(bundle, now=REAL_2025, expectations={"sgx": chosen})
    return facts


def debug_enclave() -> Facts:
    quote = blob("sgx/v3_debug_enclave.dat")
    return sgx(quote, now=REAL_2025, collateral=None, expectations=enclave())


def document(name: str, now: int) -> Judge:
    return lambda: nitro(captured(name), now=now, expectations=Nitro(any_nonce=True))


def gpu(name: str, expectations: Any, *rims: str) -> Judge:
    return lambda: gpus.accept(REAL / "nvidia", name, expectations, *rims)


def altered_gpu() -> Facts:
    report = read_hex(blob("nvidia/h100_BADSIG_report.txt"))
    certificates = gpus.devices(REAL / "nvidia", "h100_evidence")[0].certificates
    evidence = nvidia.Evidence((DeviceEvidence("HOPPER", report, certificates),))
    return nvidia.verify(evidence, now=gpus.NOW, expectations=gpus.UNSWITCHED)


def quoted() -> Facts:
    given = json.loads(blob("tpm/trustee_tpm_evidence.json"))
    inner = given["tpm_quote"]
    message, signature = (base64.b64decode(inner[part]) for part in ("message", "signature"))
    values = {number: bytes.fromhex(value) for number, value in enumerate(inner["pcrs"])}
    key = AttestationKey(base64.b64decode(given["ak_public"]), "pinned", "")
    wanted = Tpm(nonce=message[44:108].hex(), selection=tuple(range(24)))
    made = tpm.Quote(message, signature, values)
    return tpm.verify(made, key, Checks(REASONS), expectations=wanted)


VBIOS = "rim_vbios_96005E0001_PROD.swidtag"
ALONE = msgspec.structs.replace(gpus.OLD, count=0)
ACCEPTED: dict[str, Judge] = {
    "snp/milan_v2_report.bin": snp.ITEMS["milan v2"].verify,
    "snp/milan_vlek_report.bin": snp.ITEMS["milan vlek"].verify,
    "snp/coco_kbs_snp_evidence_genoa.json": snp.ITEMS["coco_kbs_snp_evidence_genoa.json"].verify,
    "snp/dstack_milan_v3_attestation.bin": snp.ITEMS["dstack milan"].verify,
    **{f"snp/{name}": of_azure(name) for name in azure.GENUINE},
    "tdx/v4_quote.bin": domain("v4_quote.bin", "v4_collateral.json"),
    "sgx/v3_quote.bin": real_enclave,
    "nitro/doc_1.bin": document("doc_1.bin", REAL_NOW),
    "tpm/trustee_tpm_evidence.json": quoted,
    "nvidia/h100_coco_report.txt": gpu("h100_coco", gpus.IDENTITY),
    "nvidia/h100_535_report.txt": gpu("h100_535", gpus.OLD, VBIOS),
    "nvidia/blackwell_report.txt": gpu("blackwell", gpus.OLD),
    "nvidia/h100_evidence.json": gpu("h100_evidence", gpus.UNSWITCHED),
    "nvidia/h100_x4_evidence.json": gpu("h100_x4_evidence", gpus.UNSWITCHED),
    "nvidia/nvswitch_ls10_evidence.json": gpu("nvswitch_ls10_evidence", ALONE),
}
REFUSED: dict[str, tuple[str, Judge]] = {
    "snp/invalid_vcek_legacy.der": ("snp_key_signature", milan("invalid_vcek_legacy.der")),
    "snp/invalid_vcek_new.der": ("snp_key_signature", milan("invalid_vcek_new.der")),
    "snp/milan_v2_DEBUG_report.bin": ("snp_debug", debug_report),
    "tdx/v4_debug_td.dat": ("tdx_debug", domain("v4_debug_td.dat")),
    "tdx/v5_td15_service_td.dat": ("tdx_service_td", domain("v5_td15_service_td.dat")),
    "tdx/azure_td_quote.bin": ("tdx_sept_ve_disable", domain("azure_td_quote.bin")),
    "tdx/azure_tdx_vtpm.json": ("tdx_sept_ve_disable", azure_domain),
    "tdx/v4_trailing_text.dat": ("dcap_trailing", domain("v4_trailing_text.dat")),
    "tdx/v5_outdated.bin": (
        "dcap_tcb_level",
        domain("v5_outdated.bin", "v5_outdated_collateral.json", tdx.REAL_2026),
    ),
    # Genuine, and no collateral for their platforms was found.
    "tdx/gcp_cos_quote.dat": ("dcap_collateral_missing", domain("gcp_cos_quote.dat")),
    "tdx/dstack_quote_eventlog_2026.json": (
        "dcap_collateral_missing",
        lambda: tdx.check(tdx.dstack()[0], now=tdx.REAL_2026 + 90 * 86_400),
    ),
    "sgx/v3_debug_enclave.dat": ("sgx_debug", debug_enclave),
    "nitro/doc_DEBUG_pcr0_zero.bin": (
        "nitro_debug",
        document("doc_DEBUG_pcr0_zero.bin", DEBUG_NOW),
    ),
    "nvidia/h100_BADSIG_report.txt": ("nvidia_signature", altered_gpu),
    "nvidia/rim_BADSIG.xml": ("nvidia_rim_signature", gpu("h100_535", gpus.OLD, "rim_BADSIG.xml")),
    "nvidia/rim_BADCHAIN.xml": ("nvidia_root", gpu("h100_535", gpus.OLD, "rim_BADCHAIN.xml")),
    "nvidia/rim_vbios_mismatch.xml": (
        "nvidia_measurement",
        gpu("h100_535", gpus.OLD, "rim_vbios_mismatch.xml"),
    ),
    "nvidia/rim_vbios_96005E0001_test.swidtag": (
        "nvidia_measurement",
        gpu("h100_535", gpus.OLD, "rim_vbios_96005E0001_test.swidtag"),
    ),
}
PARTS = {
    "snp/milan_ask_ark_asvk.pem": "snp/milan_v2_report.bin",
    "snp/genoa_ask_ark_asvk.pem": "snp/coco_kbs_snp_evidence_genoa.json",
    "snp/milan_v2_vcek.der": "snp/milan_v2_report.bin",
    "snp/milan_vlek.der": "snp/milan_vlek_report.bin",
    "snp/dstack_milan_vcek.pem": "snp/dstack_milan_v3_attestation.bin",
    "snp/milan_v2_DEBUG_vcek.der": "snp/milan_v2_DEBUG_report.bin",
    "tdx/v4_collateral.json": "tdx/v4_quote.bin",
    "tdx/v5_outdated_collateral.json": "tdx/v5_outdated.bin",
    "tdx/gcp_cos_nonce.dat": "tdx/gcp_cos_quote.dat",
    "sgx/v3_collateral.json": "sgx/v3_quote.bin",
    "nvidia/h100_coco_certs.txt": "nvidia/h100_coco_report.txt",
    "nvidia/h100_535_certs.txt": "nvidia/h100_535_report.txt",
    "nvidia/blackwell_certs.txt": "nvidia/blackwell_report.txt",
    f"nvidia/{VBIOS}": "nvidia/h100_535_report.txt",
}
"""Judged as part of other evidence."""
READ = {
    "snp/turin_ask_ark_asvk.pem",
    "snp/turin_vcek.der",
    "snp/azure_milan_v2_vcek.pem",
    "tdx/ccel_data.bin",
    "tdx/intel_sgx_root_ca.der",
    "nitro/aws_root_g1.pem",
    "tpm/quote_sample.bin",
    "nvidia/nvidia_device_root.pem",
    "nvidia/nvidia_rim_root.pem",
    "nvidia/rim_root_alt.crt",
    "nvidia/h100_nvattest_claims.json",
    "nvidia/rim_driver_550.144.03.xml",
}
"""Belongs to no evidence that is there: a root, a log, a manifest of another driver. That a test
opens each of them is seen by ``test_manifest``."""


def test_every_item_of_the_manifest_has_one_verdict() -> None:
    entries = json.loads((REAL / "MANIFEST.json").read_bytes())
    tables = (ACCEPTED, REFUSED, PARTS, READ)
    assert sorted(entry["file"] for entry in entries) == sorted(
        name for table in tables for name in table
    )
    assert {entry["file"] for entry in entries if "must refuse" in entry["note"]} <= set(REFUSED)
    assert set(PARTS.values()) <= {*ACCEPTED, *REFUSED}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_genuine_item_is_accepted_under_the_policy_it_deserves(name: str) -> None:
    assert ACCEPTED[name]().assurance == "HARDWARE"


@pytest.mark.parametrize("name", REFUSED)
def test_an_item_that_must_be_refused_is_for_its_own_reason(name: str) -> None:
    code, judge = REFUSED[name]
    with pytest.raises(AttestationRefused) as refused:
        judge()
    assert refused.value.code == f"attest.{code}"
