"""Real reports and manifests: accepted under the policy they deserve, or refused with a code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from strongroom.attest.interface import EvidenceRefused, Facts
from strongroom.attest.nvidia.device import DeviceEvidence
from strongroom.attest.nvidia.evidence import read_devices, read_hex
from strongroom.attest.nvidia.expectations import Expectations
from strongroom.attest.nvidia.verify import Evidence, verify

from .world import gpu, judge

NOW = 1_740_000_000  # 2025-02: the manifests' signers were valid
# Drivers without public manifests at hand: the device is proven genuine, its firmware is not.
IDENTITY = Expectations(any_nonce=True, driver_rim=False, vbios_rim=False)
OLD = msgspec.structs.replace(
    IDENTITY, missing_fwid=True, modes=frozenset({"mpt", "spt", "ppcie", "unknown"})
)
UNSWITCHED = msgspec.structs.replace(IDENTITY, unattested_switches=True)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "attestation" / "nvidia"


def devices(folder: Path, name: str) -> tuple[DeviceEvidence, ...]:
    if (folder / f"{name}.json").is_file():
        return read_devices((folder / f"{name}.json").read_bytes())
    return (
        DeviceEvidence(
            "BLACKWELL" if name == "blackwell" else "HOPPER",
            read_hex((folder / f"{name}_report.txt").read_bytes()),
            (folder / f"{name}_certs.txt").read_bytes(),
        ),
    )


def accept(folder: Path, name: str, expectations: Expectations, *rims: str) -> Facts:
    manifests = tuple((folder / entry).read_bytes() for entry in rims)
    return verify(Evidence(devices(folder, name), manifests), now=NOW, expectations=expectations)


def code_of(folder: Path, name: str, expectations: Expectations, *rims: str) -> str:
    with pytest.raises(EvidenceRefused) as refused:
        accept(folder, name, expectations, *rims)
    return refused.value.code.removeprefix("attest.nvidia_")


@pytest.mark.parametrize(
    ("name", "expectations", "gpus", "driver"),
    [
        ("h100_coco", IDENTITY, 1, "580.95.05"),
        ("h100_535", OLD, 1, "535.86.09"),
        ("blackwell", OLD, 1, "575.32"),
        ("h100_evidence", UNSWITCHED, 1, "590.12"),
        ("h100_x4_evidence", UNSWITCHED, 4, "590.12"),
    ],
)
def test_genuine_gpus_are_accepted_under_the_policy_they_deserve(
    folder: Path, name: str, expectations: Expectations, gpus: int, driver: str
) -> None:
    facts = accept(folder, name, expectations)
    assert facts.claims["gpus"] == gpus
    assert facts.claims["driver_versions"] == (driver,)
    assert facts.debug is True, "without both manifests, debug state is unknown"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("h100_coco", "driver_rim"),
        ("h100_535", "fwid_missing"),
        ("blackwell", "mode"),
        ("h100_evidence", "driver_rim"),
        ("h100_x4_evidence", "driver_rim"),
    ],
)
def test_genuine_gpus_are_refused_by_default(folder: Path, name: str, code: str) -> None:
    assert code_of(folder, name, Expectations(any_nonce=True)) == code


def test_four_gpus_are_four_devices(folder: Path) -> None:
    facts = accept(folder, "h100_x4_evidence", msgspec.structs.replace(UNSWITCHED, count=4))
    assert len(set(facts.claims["devices"])) == 4
    for count in (1, 3, 8):
        wrong = msgspec.structs.replace(UNSWITCHED, count=count)
        assert code_of(folder, "h100_x4_evidence", wrong) == "count"
    four = devices(folder, "h100_x4_evidence")
    with pytest.raises(EvidenceRefused) as refused:
        verify(Evidence((*four, four[2])), now=NOW, expectations=UNSWITCHED)
    assert refused.value.code == "attest.nvidia_duplicate"


def test_protected_pcie_needs_its_switches(folder: Path) -> None:
    assert code_of(folder, "h100_evidence", IDENTITY) == "switches_missing"


def test_the_nvswitch_is_accepted_by_itself_only_where_no_gpu_is_expected(folder: Path) -> None:
    alone = msgspec.structs.replace(OLD, count=0)
    facts = accept(folder, "nvswitch_ls10_evidence", alone)
    assert (facts.product, facts.claims["switches"]) == ("LS_10", 1)
    assert facts.chip.endswith("203eb31ad9ed0008"), "the id that GPUs call it by"
    assert code_of(folder, "nvswitch_ls10_evidence", OLD) == "count"


def test_a_collector_s_nonce_is_the_one_in_the_report(folder: Path) -> None:
    issued = json.loads((folder / "h100_evidence.json").read_bytes())[0]["nonce"]
    asked = msgspec.structs.replace(UNSWITCHED, any_nonce=False, nonce=issued)
    assert accept(folder, "h100_evidence", asked).report_data.hex() == issued
    stale = msgspec.structs.replace(asked, nonce="00" * 32)
    assert code_of(folder, "h100_evidence", stale) == "nonce"
    assert code_of(folder, "h100_evidence", msgspec.structs.replace(asked, nonce="")) == "nonce"


def test_the_vbios_manifest_of_the_old_h100_matches_in_every_active_index(folder: Path) -> None:
    wanted = msgspec.structs.replace(OLD, vbios_rim=True)
    facts = accept(folder, "h100_535", wanted, "rim_vbios_96005E0001_PROD.swidtag")
    compared = [check.found for check in facts.checks if check.number == "8.4"]
    assert compared == ["12 active indices"]
    assert facts.debug is True, "the driver's manifest is not at hand"


@pytest.mark.parametrize("rim", ["rim_vbios_96005E0001_test.swidtag", "rim_vbios_mismatch.xml"])
def test_a_genuine_manifest_that_differs_refuses_the_device(folder: Path, rim: str) -> None:
    assert code_of(folder, "h100_535", OLD, rim) == "measurement"


@pytest.mark.parametrize(
    ("rim", "code"), [("rim_BADSIG.xml", "rim_signature"), ("rim_BADCHAIN.xml", "root")]
)
def test_altered_manifests_are_refused(folder: Path, rim: str, code: str) -> None:
    assert code_of(folder, "h100_535", OLD, rim) == code


def test_the_altered_report_is_refused(folder: Path) -> None:
    report = read_hex((folder / "h100_BADSIG_report.txt").read_bytes())
    certificates = devices(folder, "h100_evidence")[0].certificates
    with pytest.raises(EvidenceRefused) as refused:
        verify(
            Evidence((DeviceEvidence("HOPPER", report, certificates),)),
            now=NOW,
            expectations=UNSWITCHED,
        )
    assert refused.value.code == "attest.nvidia_signature"


def test_expired_manifests_are_refused(folder: Path) -> None:
    rim = (folder / "rim_vbios_96005E0001_PROD.swidtag").read_bytes()
    evidence = Evidence(devices(folder, "h100_535"), (rim,))
    for now in (1_687_000_000, 1_760_000_000):
        with pytest.raises(EvidenceRefused) as refused:
            verify(evidence, now=now, expectations=OLD)
        assert refused.value.code == "attest.nvidia_validity"


def test_the_line_of_hex_may_count_one_terminating_zero(folder: Path) -> None:
    text = (folder / "h100_coco_report.txt").read_bytes().strip()
    assert len(read_hex(text)) == len(text) // 2 - 1
    with_other = text[:-2] + b"01"
    assert len(read_hex(with_other)) == len(text) // 2, "refused later, as trailing"


def test_our_verdict_says_what_nvidia_s_verifier_says(folder: Path) -> None:
    """No report belongs to these claims, so the names and their meaning are compared."""
    claims = json.loads((folder / "h100_nvattest_claims.json").read_bytes())["claims"][0]
    facts = judge(gpu())
    ours = {
        "measres": "success" if facts.claims["measurements_match"] else "fail",
        "secboot": facts.claims["secure_boot"] == "enabled",
        "dbgstat": facts.claims["debug_status"],
        "hwmodel": facts.claims["hwmodels"][0],
        "x-nvidia-device-type": "gpu" if facts.claims["gpus"] else "switch",
    }
    assert ours == {name: claims[name] for name in ours}
    for name in ("driver", "vbios"):
        shape = re.sub(r"[0-9A-F]+", "X", claims[f"x-nvidia-gpu-{name}-version"])
        assert re.sub(r"[0-9A-F]+", "X", facts.tcb[name]) == shape
    real = accept(folder, "h100_coco", IDENTITY)
    assert real.claims["hwmodels"] == (claims["hwmodel"],)
    assert re.fullmatch(r"[0-9]{46,49}", real.claims["ueids"][0])
    assert len(claims["ueid"]) in range(46, 50)
