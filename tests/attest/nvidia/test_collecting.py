"""The NVML collector with an injected library that answers with recorded or simulated reports."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from strongroom.attest.collect.interface import Collector
from strongroom.attest.collect.nvidia import NvidiaCollector
from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.nvidia.bundled import Expectations, verify_bundle
from strongroom.attest.nvidia.evidence import read_devices
from strongroom.errors import EnvironmentLacks

from .world import gpu, judge


class FakeNvml:
    """Answers as the driver does; ``reports`` makes a GPU's report for a nonce."""

    def __init__(self, chains: list[bytes], reports, architecture: int = 9) -> None:
        self.chains, self.reports, self.architecture = chains, reports, architecture
        self.failing = ""
        self.shut_down = 0
        self.oversize = 0

    def nvmlInit_v2(self) -> int:
        return self._result("init")

    def nvmlShutdown(self) -> int:
        self.shut_down += 1
        return 0

    def nvmlDeviceGetCount_v2(self, count) -> int:
        count._obj.value = len(self.chains)
        return self._result("count")

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle) -> int:
        handle._obj.value = index.value + 1
        return self._result("handle")

    def nvmlDeviceGetArchitecture(self, handle, architecture) -> int:
        architecture._obj.value = self.architecture
        return self._result("architecture")

    def nvmlDeviceGetConfComputeGpuCertificate(self, handle, certificate) -> int:
        chain = self.chains[handle.value - 1]
        certificate._obj.attestationCertChainSize = len(chain) + self.oversize
        certificate._obj.attestationCertChain[: len(chain)] = chain
        return self._result("certificate")

    def nvmlDeviceGetConfComputeGpuAttestationReport(self, handle, report) -> int:
        made = self.reports(handle.value - 1, bytes(report._obj.nonce))
        report._obj.attestationReportSize = len(made)
        report._obj.attestationReport[: len(made)] = made
        return self._result("report")

    def _result(self, call: str) -> int:
        return 999 if call == self.failing else 0


def simulated() -> FakeNvml:
    return FakeNvml(
        [gpu(number).pem for number in range(2)],
        lambda number, nonce: gpu(number, nonce=nonce).report,
    )


def test_every_gpu_is_asked_with_the_nonce() -> None:
    library = simulated()
    nonce = bytes(range(7, 39))
    collector: Collector = NvidiaCollector(lambda: library)
    devices = read_devices(collector.collect(nonce).evidence["devices"])
    facts = judge(*devices, nonce=nonce.hex(), count=2)
    assert (facts.report_data, facts.debug, library.shut_down) == (nonce, False, 1)


def test_recorded_reports_go_through(shared_data: Path) -> None:
    path = shared_data / "attestation" / "nvidia" / "h100_x4_evidence.json"
    items = json.loads(path.read_bytes())
    library = FakeNvml(
        [b64decode(item["certificate"]) for item in items],
        lambda number, nonce: b64decode(items[number]["evidence"]),
    )
    nonce = bytes.fromhex(items[0]["nonce"])
    bundle = NvidiaCollector(lambda: library).collect(nonce)
    loose = Expectations(
        nonce=nonce.hex(), count=4, driver_rim=False, vbios_rim=False, unattested_switches=True
    )
    facts = verify_bundle(bundle, now=1_740_000_000, expectations=loose)
    assert facts.claims["gpus"] == 4


@pytest.mark.parametrize(
    "call", ["init", "count", "handle", "architecture", "certificate", "report"]
)
def test_a_failing_call_is_reported(call: str) -> None:
    library = simulated()
    library.failing = call
    with pytest.raises(EnvironmentLacks) as lacks:
        NvidiaCollector(lambda: library).collect(bytes(32))
    assert lacks.value.code == "attest.nvml_failed"
    assert library.shut_down == (call != "init")


def test_sizes_beyond_the_buffers_are_not_believed() -> None:
    library = simulated()
    library.oversize = 0x1400
    with pytest.raises(EnvironmentLacks):
        NvidiaCollector(lambda: library).collect(bytes(32))


def test_without_a_driver_it_says_so() -> None:
    with pytest.raises(EnvironmentLacks) as lacks:
        NvidiaCollector().collect(bytes(32))
    assert lacks.value.code == "attest.nvml_missing"


def test_a_nonce_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        NvidiaCollector(simulated).collect(bytes(48))


def test_an_unknown_architecture_is_refused_by_the_verifier() -> None:
    library = simulated()
    library.architecture = 8
    bundle = NvidiaCollector(lambda: library).collect(bytes(32))
    devices = read_devices(bundle.evidence["devices"])
    with pytest.raises(EvidenceRefused) as refused:
        judge(*devices, any_nonce=True)
    assert refused.value.code == "attest.nvidia_architecture"
