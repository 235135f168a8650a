"""Fetching what Intel and NVIDIA publish, from a server of our own that answers as theirs do."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote

import pytest

from strongroom.attest.bundle import decode
from strongroom.attest.dcap.collateral import from_json
from strongroom.attest.nvidia.evidence import read_hex
from strongroom.cli import attest_fetch, attest_gather_intel
from strongroom.cli.attest_fetch import fetch
from strongroom.cli.attest_gather_nvidia import rim_ids
from strongroom.errors import StrongroomError
from tests.attest.nvidia import world
from tests.attest.simulated import intel
from tests.cli.conftest import Runs

pytest.importorskip("dcap_qvl", reason="the extra `attest` is not installed")

Answers = dict[str, tuple[bytes, dict[str, str]]]


class Service(ThreadingHTTPServer):
    """Answers paths with a body and headers; ``asked`` is what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: Answers = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body, headers = self.server.answers.get(self.path, (b"", {}))
        status = int(headers.get("status", "200" if body else "404"))
        self.send_response(status)
        for name, value in headers.items():
            if name != "status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def pcs(kind: str, fmspc: str, parts: dict[str, bytes]) -> Answers:
    """The answers of a PCCS: signed bytes inside of JSON, chains in headers, root list in hex."""

    def chain(name: str) -> str:
        return url_quote(parts[f"{name}_issuer_chain"].decode())

    def signed(member: str, name: str) -> bytes:
        signature = parts[f"{name}_signature"].hex().encode()
        return b'{"%s":%s,"signature":"%s"}' % (member.encode(), parts[name], signature)

    at = "/sgx/certification/v4"
    return {
        f"{at}/pckcrl?ca=platform&encoding=der": (
            parts["pck_crl"],
            {"SGX-PCK-CRL-Issuer-Chain": chain("pck_crl")},
        ),
        f"/{kind}/certification/v4/tcb?fmspc={fmspc}": (
            signed("tcbInfo", "tcb_info"),
            {"TCB-Info-Issuer-Chain": chain("tcb_info")},
        ),
        f"/{kind}/certification/v4/qe/identity": (
            signed("enclaveIdentity", "qe_identity"),
            {"SGX-Enclave-Identity-Issuer-Chain": chain("qe_identity")},
        ),
        f"{at}/rootcacrl": (parts["root_ca_crl"].hex().encode(), {}),
    }


def simulated() -> tuple[bytes, str, dict[str, bytes]]:
    import dcap_qvl

    raw = intel.tdx()
    return raw, dcap_qvl.Quote.parse(raw).fmspc().lower(), intel.collateral("TDX")


def bundled(
    strongroom: Runs, tmp_path: Path, service: Service, kind: str, part: str, evidence: bytes
) -> Any:
    """What `attest bundle --fetch` said."""
    (tmp_path / "evidence").write_bytes(evidence)
    return strongroom(
        "attest", "bundle", kind, tmp_path / "made.json", "--part",
        f"{part}={tmp_path / 'evidence'}", "--fetch", "--service", service.url, "--json",
    )  # fmt: skip


def test_intel(strongroom: Runs, tmp_path: Path, service: Service) -> None:
    raw, fmspc, parts = simulated()
    service.answers = pcs("tdx", fmspc, parts)
    assert bundled(strongroom, tmp_path, service, "tdx", "quote", raw).code == 0
    made = decode((tmp_path / "made.json").read_bytes())
    assert dict(made.collateral) == parts
    assert len(service.asked) == 4


@pytest.mark.parametrize(
    ("kind", "quote", "collateral"),
    [
        ("tdx", "tdx/v4_quote.bin", "tdx/v4_collateral.json"),
        ("sgx", "sgx/v3_quote.bin", "sgx/v3_collateral.json"),
    ],
)
def test_intel_as_recorded(
    strongroom: Runs, tmp_path: Path, service: Service, shared_data: Path,
    kind: str, quote: str, collateral: str,
) -> None:  # fmt: skip
    """What comes out are the very bytes that Intel signed."""
    import dcap_qvl

    folder = shared_data / "attestation"
    if not (folder / quote).is_file():
        pytest.skip(f"no recorded evidence at {folder}")
    raw, parts = (folder / quote).read_bytes(), from_json((folder / collateral).read_bytes())
    parsed = dcap_qvl.Quote.parse(raw)
    service.answers = pcs(kind, parsed.fmspc().lower(), parts)
    answers = service.answers
    at = "/sgx/certification/v4/pckcrl?ca={}&encoding=der"
    answers[at.format(parsed.ca())] = answers.pop(at.format("platform"))
    said = bundled(strongroom, tmp_path, service, kind, "quote", raw)
    assert said.code == 0, said.err
    made = decode((tmp_path / "made.json").read_bytes())
    assert dict(made.collateral) == parts


Spoil = Callable[[Answers, str], None]


def _drop(answers: Answers, path: str) -> None:
    del answers[path]


def _headless(answers: Answers, path: str) -> None:
    answers[path] = (answers[path][0], {})


def _garbled(answers: Answers, path: str) -> None:
    answers[path] = (b"[" * 100_000, answers[path][1])


def _elsewhere(answers: Answers, path: str) -> None:
    answers["/elsewhere"] = answers[path]
    answers[path] = (b"x", {"status": "302", "Location": "/elsewhere"})


SPOILT = [
    (which, spoil)
    for which in ("pckcrl", "tcb?", "identity", "rootcacrl")
    for spoil in (_drop, _headless, _garbled, _elsewhere)
    if (which, spoil) != ("rootcacrl", _headless)  # which has no header
]


@pytest.mark.parametrize(("which", "spoil"), SPOILT)
def test_intel_answers_that_are_none(
    strongroom: Runs, tmp_path: Path, service: Service, spoil: Spoil, which: str
) -> None:
    raw, fmspc, parts = simulated()
    service.answers = pcs("tdx", fmspc, parts)
    path = next(each for each in service.answers if which in each)
    spoil(service.answers, path)
    said = bundled(strongroom, tmp_path, service, "tdx", "quote", raw)
    assert (said.code, said.refusal) == (6, "cli.attest_fetch")
    assert not (tmp_path / "made.json").exists()
    assert "/elsewhere" not in service.asked


@pytest.mark.parametrize(
    ("kind", "part"), [("tdx", "quote"), ("sgx", "quote"), ("nvidia", "devices")]
)
def test_evidence_that_does_not_say_what_to_ask_for(
    strongroom: Runs, tmp_path: Path, service: Service, kind: str, part: str
) -> None:
    for nonsense in (b"{}", b"\0" * 5000, json.dumps([{"arch": "HOPPER"}]).encode()):
        said = bundled(strongroom, tmp_path, service, kind, part, nonsense)
        assert (said.code, said.refusal) == (5, "cli.attest_gather")
    assert service.asked == []


def test_intels_own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --service: Intel's two hosts, over https, and nothing else."""
    raw, fmspc, parts = simulated()
    answers = pcs("tdx", fmspc, parts)
    asked: list[str] = []

    def answer(address: str, header: str = "") -> attest_fetch.Fetched:
        asked.append(address)
        if address == attest_gather_intel.ROOT_CRL:
            return attest_fetch.Fetched(parts["root_ca_crl"], b"")
        body, headers = answers[address.removeprefix(attest_gather_intel.INTEL)]
        return attest_fetch.Fetched(
            body, attest_fetch.urllib.parse.unquote_to_bytes(headers[header])
        )

    monkeypatch.setattr(attest_gather_intel, "fetch", answer)
    assert attest_gather_intel.for_quote("tdx", raw) == parts
    assert len(asked) == 4
    assert all(address.startswith("https://") for address in asked)


def listed(*devices: tuple[str, bytes, bytes]) -> bytes:
    """A collector's list of (architecture, report, chain)."""
    return json.dumps(
        [
            {
                "arch": arch,
                "evidence": base64.b64encode(report).decode(),
                "certificate": base64.b64encode(chain).decode(),
            }
            for arch, report, chain in devices
        ]
    ).encode()


def manifest(name: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    told = {"id": name, "rim": base64.b64encode(content).decode(), "sha256": "not looked at"}
    return json.dumps(told).encode(), {}


GPU = ("NV_GPU_DRIVER_GH100_535.86.09", "NV_GPU_VBIOS_1010_0200_882_96005E0001")


def test_nvidia_as_recorded(
    strongroom: Runs, tmp_path: Path, service: Service, shared_data: Path
) -> None:
    """A genuine H100 asks for the very VBIOS manifest that it matches."""
    folder = shared_data / "attestation" / "nvidia"
    if not (folder / "h100_535_report.txt").is_file():
        pytest.skip(f"no recorded evidence at {folder}")
    report = read_hex((folder / "h100_535_report.txt").read_bytes())
    chain = (folder / "h100_535_certs.txt").read_bytes()
    driver = (folder / "rim_driver_550.144.03.xml").read_bytes()  # its own is not at hand
    vbios = (folder / "rim_vbios_96005E0001_PROD.swidtag").read_bytes()
    for name, content in zip(GPU, (driver, vbios), strict=True):
        service.answers[f"/v1/rim/{name}"] = manifest(name, content)
    devices = listed(("HOPPER", report, chain), ("HOPPER", report, chain))
    said = bundled(strongroom, tmp_path, service, "nvidia", "devices", devices)
    assert said.code == 0, said.err
    made = decode((tmp_path / "made.json").read_bytes())
    assert dict(made.collateral) == {GPU[0].lower(): driver, GPU[1].lower(): vbios}
    assert len(service.asked) == 2  # two devices of one kind, asked for once


def _switch() -> bytes:
    made = world.switch()
    return listed(("LS10", made.report, made.pem))


SWITCH = "NV_SWITCH_BIOS_5612_0002_890_9610550001"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (manifest(SWITCH, world.RIMS[2]), 0),
        (manifest(GPU[0], world.RIMS[2]), 6),  # another's
        (manifest(SWITCH, b"x" * (128 * 1024 + 1)), 6),
        (manifest(SWITCH, b""), 6),
        ((json.dumps({"id": SWITCH, "rim": "!"}).encode(), {}), 6),
        ((b"[" * 100_000, {}), 6),
        ((b"", {}), 6),
    ],
)
def test_a_switch_and_answers_that_are_none(
    strongroom: Runs, tmp_path: Path, service: Service, answer: Any, code: int
) -> None:
    service.answers[f"/v1/rim/{SWITCH}"] = answer
    said = bundled(strongroom, tmp_path, service, "nvidia", "devices", _switch())
    assert said.code == code, said.err
    assert (tmp_path / "made.json").exists() == (code == 0)


def test_a_board_that_a_device_does_not_name(strongroom: Runs) -> None:
    from strongroom.attest.nvidia.device import DeviceEvidence

    made = world.gpu()
    evidence = DeviceEvidence("HOPPER", made.report, made.pem)
    with pytest.raises(ValueError, match="no board"):
        rim_ids(evidence)


@pytest.mark.parametrize(
    "address",
    [
        "http://192.0.2.1/x",
        "http://strongroom.example/x",
        "file:///etc/hostname",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1.example/x",
        "http://[::1",
        "x",
    ],
)
def test_only_https_leaves_this_machine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_arguments: object) -> None:
        raise AssertionError("it connects")

    monkeypatch.setattr("socket.create_connection", connect)
    with pytest.raises(StrongroomError) as refused:
        fetch(address)
    assert refused.value.code == "cli.attest_fetch"


def test_an_answer_without_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.answers["/large"] = (b"x" * (1024 * 1024 + 1), {})
    service.answers["/fits"] = (b"x" * (1024 * 1024), {})
    assert len(fetch(f"{service.url}/fits").body) == 1024 * 1024
    with pytest.raises(StrongroomError):
        fetch(f"{service.url}/large")
    monkeypatch.setattr(attest_fetch, "TIMEOUT_S", 0.0)
    with pytest.raises(StrongroomError):
        fetch(f"{service.url}/fits")


def test_an_answer_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, all of them would not."""

    class Dripping(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            try:
                for _ in range(1000):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.02)
            except OSError:
                return

    monkeypatch.setattr(attest_fetch, "TIMEOUT_S", 0.3)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(StrongroomError):
            fetch(f"http://127.0.0.1:{server.server_port}/")
        assert time.monotonic() - began < 15  # of the 20 that it would take
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
