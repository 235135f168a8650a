"""``strongroom attest``: verify, explain and bundle, with a server of certificates of our own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attest import registry
from strongroom.attest.bundle import Bundle, decode, encode
from strongroom.attest.snp.products import ROOTS
from strongroom.attest.snp.report import parse
from strongroom.cli.attest_gather import vcek_address
from tests.attest.simulated import amd
from tests.cli.conftest import Runs

POLICY = '[snp]\nallow_smt = false\nreport_data = "{}"\n'


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMD's roots replaced by the simulated ones."""
    for product, digest in amd.roots().items():
        monkeypatch.setitem(ROOTS, product, digest)


def bundle_of(product: str, folder: Path) -> Path:
    case = amd.good(product)
    made = Bundle(kind="snp", evidence={"report": case.report}, certificates=case.certificates)
    path = folder / "evidence.json"
    path.write_bytes(encode(made) + b"\n")
    return path


def test_a_good_bundle_is_accepted(strongroom: Runs, tmp_path: Path, pinned: None) -> None:
    path = bundle_of("Genoa", tmp_path)
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(amd.Fields("Genoa").report_data.hex()))
    said = strongroom("attest", "verify", path, "--policy", policy, "--at", amd.NOW, "--json")
    assert said.code == 0
    (facts,) = said.json["evidence"]
    assert (said.json["accepted"], facts["product"], facts["debug"]) == (True, "Genoa", False)
    assert facts["measurements"]["measurement"] == amd.Fields("Genoa").measurement.hex()
    assert facts["checks"][0] == {
        "number": "1", "code": "attest.snp_length", "found": "1184 bytes"
    }  # fmt: skip
    moment = datetime.fromtimestamp(amd.NOW, UTC).isoformat()
    said = strongroom("attest", "verify", path, "--policy", policy, "--at", moment)
    assert said.code == 0
    assert "Accepted." in said.out
    assert "attest.snp_report_data" in said.out


def test_a_refusal_names_the_check(strongroom: Runs, tmp_path: Path, pinned: None) -> None:
    path = bundle_of("Genoa", tmp_path)
    policy = tmp_path / "policy.json"
    policy.write_text('{"snp":{"measurements":["00"]}}')
    said = strongroom("attest", "verify", path, "--policy", policy, "--at", amd.NOW, "--json")
    assert said.code == 10
    assert said.json["refused"]["code"] == "attest.snp_measurement"
    assert said.json["checks"][-1]["code"] == "attest.snp_platform"
    said = strongroom("attest", "verify", path, "--at", "2040-01-01")
    assert said.code == 10
    assert "no     19  attest.snp_validity" in said.out


def test_simulated_roots_are_refused_without_being_pinned(strongroom: Runs, tmp_path: Path) -> None:
    said = strongroom("attest", "verify", bundle_of("Genoa", tmp_path), "--at", amd.NOW)
    assert said.code == 10
    assert "attest.snp_root" in said.err


@pytest.mark.parametrize(
    "policy", ["[snp]\nmeasurement = 3\n", "[snp]\nallow_debug = true\n", "snp = 3\n", "[snp\n"]
)
def test_a_wrong_policy_is_refused(
    strongroom: Runs, tmp_path: Path, pinned: None, policy: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(policy)
    path = bundle_of("Genoa", tmp_path)
    said = strongroom("attest", "verify", path, "--policy", file, "--at", amd.NOW)
    assert said.code == 5


def test_a_bundle_that_is_not_canonical_is_refused(strongroom: Runs, tmp_path: Path) -> None:
    path = bundle_of("Genoa", tmp_path)
    path.write_bytes(path.read_bytes().replace(b'":', b'": ', 1))
    said = strongroom("attest", "verify", path)
    assert (said.code, "attest.bundle_form" in said.err) == (10, True)


def test_a_file_without_end_is_not_read_to_it(strongroom: Runs, tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    with endless.open("wb") as file:
        file.truncate(1 << 40)  # a hole of a terabyte
    said = strongroom("attest", "verify", endless)
    assert (said.code, "cli.file_too_large" in said.err) == (5, True)
    said = strongroom("attest", "verify", bundle_of("Genoa", tmp_path), "--policy", endless)
    assert (said.code, "cli.file_too_large" in said.err) == (5, True)


def test_every_code_is_explained(strongroom: Runs) -> None:
    said = strongroom("attest", "explain", "attest.snp_debug", "--json")
    assert "debugged" in said.json["message"]
    assert strongroom("attest", "explain", "attest.nothing").code == 5
    assert len(registry.reasons()) > 100


class Service(BaseHTTPRequestHandler):
    """Answers as AMD's service does: chain in PEM, certificate and list in DER."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        case = amd.good("Turin")
        url = urlsplit(self.path)
        chain = [x509.load_der_x509_certificate(raw) for raw in case.certificates[1:]]
        answers = {
            "/vcek/v1/Turin/cert_chain": b"".join(c.public_bytes(Encoding.PEM) for c in chain),
            "/vcek/v1/Turin/crl": amd.load("Turin", "crl"),
            f"/vcek/v1/Turin/{amd.hwid('Turin').hex()}": case.certificates[0],
        }
        body = answers.get(url.path, b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@contextmanager
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_collateral_is_gathered(strongroom: Runs, tmp_path: Path, pinned: None) -> None:
    report, target = tmp_path / "report.bin", tmp_path / "made.json"
    report.write_bytes(amd.good("Turin").report)
    named = f"report={report}"
    with service() as address:
        said = strongroom(
            "attest", "bundle", "snp", target, "--part", named, "--fetch", "--service", address
        )
        assert said.code == 0, said.err
    made = decode(target.read_bytes())
    assert made.certificates == amd.good("Turin").certificates
    assert strongroom("attest", "verify", target, "--at", amd.NOW).code == 0
    query = parse_qs(urlsplit(next(a for a in Service.asked if "SPL" in a)).query)
    assert query == {
        "fmcSPL": ["01"], "blSPL": ["02"], "teeSPL": ["01"], "snpSPL": ["04"], "ucodeSPL": ["75"]
    }  # fmt: skip


def test_a_service_that_does_not_answer(strongroom: Runs, tmp_path: Path) -> None:
    report, target = tmp_path / "report.bin", tmp_path / "made.json"
    report.write_bytes(amd.good("Genoa").report)
    named = f"report={report}"
    with service() as address:
        said = strongroom(
            "attest", "bundle", "snp", target, "--part", named, "--fetch", "--service", address
        )
    assert (said.code, target.exists()) == (6, False)
    said = strongroom("attest", "bundle", "tdx", target, "--part", f"quote={report}", "--fetch")
    assert said.code == 5


def test_a_bundle_of_files(strongroom: Runs, tmp_path: Path, pinned: None) -> None:
    case, target = amd.good("Genoa"), tmp_path / "made.json"
    arguments: list[object] = ["attest", "bundle", "snp", target]
    (tmp_path / "report").write_bytes(case.report)
    arguments += ["--part", f"report={tmp_path / 'report'}"]
    for number, raw in enumerate(case.certificates):
        (tmp_path / str(number)).write_bytes(raw)
        arguments += ["--certificate", tmp_path / str(number)]
    assert strongroom(*arguments, "--json").json["kind"] == "snp"
    assert strongroom("attest", "verify", target, "--at", amd.NOW).code == 0
    assert strongroom(*arguments, "--part", f"report={tmp_path / '0'}").code == 2


def test_a_certificate_s_address_is_amd_s() -> None:
    address = vcek_address(parse(amd.good("Milan").report), "Milan")
    chip = amd.hwid("Milan").hex()
    assert address == (
        f"https://kdsintf.amd.com/vcek/v1/Milan/{chip}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"
    )
