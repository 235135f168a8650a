"""The collector of configfs-tsm against a simulated kernel that hands out recorded blobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.attest.collect.certificate_table import ORDER
from strongroom.attest.collect.configfs_tsm import REPORTS, Configfs, TsmCollector
from strongroom.attest.registry import verify_bundle
from strongroom.errors import EnvironmentLacks
from tests.attest.collect.support import SNP_REPORT, lacks, table
from tests.attest.dcap.support import DATA, PLATFORM, check_td
from tests.attest.simulated import intel


class Kernel:
    """configfs-tsm as the kernel's document describes it, over a dictionary."""

    def __init__(
        self, provider: str, answer: Callable[[bytes], bytes], extra: bytes | None
    ) -> None:
        self.provider, self.answer, self.extra = provider, answer, extra
        self.requests: dict[Path, bytes | None] = {}
        self.generation = 0
        self.meddle = False

    def make(self, path: Path) -> None:
        if path.parent != REPORTS or path in self.requests:
            raise FileExistsError(path)
        self.requests[path] = None

    def write(self, path: Path, content: bytes) -> None:
        assert path.name == "inblob"
        self.requests[path.parent] = content
        self.generation += 1

    def read(self, path: Path) -> bytes:
        given = self.requests[path.parent]
        if path.name == "generation":
            return b"%d\n" % self.generation
        if path.name == "provider":
            return self.provider.encode() + b"\n"
        if path.name == "auxblob" and self.extra is None:
            raise FileNotFoundError(path)
        if given is None:
            raise OSError(22, "no input")
        if self.meddle:
            self.generation += 1
        return (self.extra or b"") if path.name == "auxblob" else self.answer(given)

    def remove(self, path: Path) -> None:
        del self.requests[path]


def tdx() -> Kernel:
    def answer(given: bytes) -> bytes:
        return intel.tdx(intel.Td(report_data=given), padding=bytes(3000))

    return Kernel("tdx_guest", answer, None)


def snp(extra: bytes | None = b"") -> Kernel:
    return Kernel("sev_guest", lambda given: SNP_REPORT[:80] + given + SNP_REPORT[144:], extra)


def test_a_tdx_quote_answers_what_was_asked() -> None:
    kernel = tdx()
    bundle = TsmCollector("tdx", files=kernel).collect(DATA)
    assert check_td(bundle.evidence["quote"]).report_data == DATA
    assert not kernel.requests


def test_a_bundle_goes_to_the_registry_as_it_is() -> None:
    bundle = TsmCollector("tdx", files=tdx()).collect(DATA)
    chosen = {"tdx": {"platform": PLATFORM, "report_data": DATA.hex()}}
    with pytest.raises(Exception, match="pinned root"):
        verify_bundle(bundle, now=intel.NOW, expectations=chosen)


def test_an_snp_report_comes_with_the_hosts_certificates() -> None:
    kernel = snp(table({ORDER[0]: b"vcek", ORDER[3]: b"ark", ORDER[2]: b"ask"}))
    bundle = TsmCollector("snp", files=kernel).collect(DATA)
    assert bundle.evidence["report"][80:144] == DATA
    assert bundle.certificates == (b"vcek", b"ask", b"ark")
    assert TsmCollector("snp", files=snp()).collect(DATA).certificates == ()


def test_another_tee_is_noticed() -> None:
    kernel = snp()
    with lacks("attest.tsm_provider"):
        TsmCollector("tdx", files=kernel).collect(DATA)
    assert not kernel.requests


def test_a_write_of_another_process_is_noticed() -> None:
    kernel = tdx()
    kernel.meddle = True
    with lacks("attest.tsm_conflict"):
        TsmCollector("tdx", files=kernel).collect(DATA)
    assert not kernel.requests


def test_a_machine_without_it_says_so(tmp_path: Path) -> None:
    with lacks("attest.tsm_missing"):
        TsmCollector("tdx", reports=tmp_path / "none").collect(DATA)


def test_a_folder_that_is_no_configfs_is_left_as_it_was(tmp_path: Path) -> None:
    with lacks("attest.tsm_failed"):
        TsmCollector("tdx", reports=tmp_path).collect(DATA)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("report", [b"", bytes(1183)])
def test_a_report_of_another_length_is_refused(report: bytes) -> None:
    with lacks("attest.tsm_failed"):
        TsmCollector("snp", files=Kernel("sev_guest", lambda _: report, b"")).collect(DATA)


def test_a_table_that_points_outside_is_refused() -> None:
    bad = table({ORDER[0]: b"vcek"})[:-1]
    with lacks("attest.tsm_failed"):
        TsmCollector("snp", files=snp(bad)).collect(DATA)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_the_input_has_64_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="64"):
        TsmCollector("tdx", files=tdx()).collect(bytes(size))


def test_the_real_operations_are_plain_ones(tmp_path: Path) -> None:
    """Over a folder of this machine; a real configfs fills it with attributes."""
    real = Configfs()
    real.make(tmp_path / "request")
    real.write(tmp_path / "request" / "inblob", b"abc")
    assert real.read(tmp_path / "request" / "inblob") == b"abc"
    (tmp_path / "request" / "inblob").unlink()
    real.remove(tmp_path / "request")
    assert issubclass(EnvironmentLacks, Exception)
