"""The collectors of ``/dev/sev-guest`` and ``/dev/nsm`` against simulated drivers.

The simulated driver follows the addresses that it is given, as the kernel does.
"""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import cbor2
import pytest

from strongroom.attest.collect import certificate_table, nsm, sev_guest
from strongroom.attest.collect.nsm import NsmCollector
from strongroom.attest.collect.sev_guest import SevGuestCollector
from tests.attest.collect.support import SNP_REPORT, lacks, table
from tests.attest.dcap.support import DATA
from tests.attest.nitro.support import check, wanted
from tests.attest.simulated import nitro

CHAIN = {certificate_table.ORDER[1]: b"vlek", certificate_table.ORDER[2]: b"asvk"}


class Firmware:
    """SNP firmware behind the ioctl."""

    def __init__(self, status: int = 0, size: int = 1184, host: int = 0, error: int = 0) -> None:
        self.status, self.size, self.host, self.error = status, size, host, error
        self.vmpl = -1

    def __call__(self, descriptor: int, number: int, call: bytearray) -> int:
        assert descriptor > 2
        assert len(call) == number >> 16 & 0x3FFF == 32
        assert call[0] == 1
        if self.error:
            raise OSError(self.error, "refused")
        request, response, _ = struct.unpack_from("<QQQ", call, 8)
        asked = ctypes.string_at(request, 96)
        (self.vmpl,) = struct.unpack_from("<I", asked, 64)
        report = SNP_REPORT[:80] + asked[:64] + SNP_REPORT[144:]
        answer = struct.pack("<II24x", self.status, self.size) + report
        ctypes.memmove(response, answer, len(answer))
        if number == sev_guest.GET_EXT_REPORT:
            address, room = struct.unpack("<QI", ctypes.string_at(request + 96, 12))
            certificates = table(CHAIN)
            assert room >= len(certificates)
            ctypes.memmove(address, certificates, len(certificates))
        struct.pack_into("<Q", call, 24, self.host)
        return 0


def test_an_snp_report_with_certificates(tmp_path: Path) -> None:
    firmware = Firmware()
    collector = SevGuestCollector(vmpl=1, device=device(tmp_path), ioctl=firmware)
    bundle = collector.collect(DATA)
    assert (bundle.kind, collector.kind) == ("snp", "snp")
    assert bundle.evidence["report"] == SNP_REPORT[:80] + DATA + SNP_REPORT[144:]
    assert bundle.certificates == (b"vlek", b"asvk")
    assert firmware.vmpl == 1


def test_an_snp_report_alone(tmp_path: Path) -> None:
    collector = SevGuestCollector(certificates=False, device=device(tmp_path), ioctl=Firmware())
    assert collector.collect(DATA).certificates == ()


@pytest.mark.parametrize(
    "firmware", [Firmware(status=0x16), Firmware(size=1183), Firmware(host=2), Firmware(error=5)]
)
def test_a_firmware_that_refuses(firmware: Firmware, tmp_path: Path) -> None:
    with lacks("attest.sev_guest_failed"):
        SevGuestCollector(device=device(tmp_path), ioctl=firmware).collect(DATA)


def test_no_sev_guest(tmp_path: Path) -> None:
    with lacks("attest.sev_guest_missing"):
        SevGuestCollector(device=tmp_path / "none").collect(DATA)
    with pytest.raises(ValueError, match="64"):
        SevGuestCollector().collect(b"")


@pytest.mark.parametrize("little", [True, False])
def test_a_table_in_either_byte_order(little: bool) -> None:
    assert certificate_table.read(table(CHAIN, little=little)) == (b"vlek", b"asvk")


@pytest.mark.parametrize("data", [b"", bytes(24), b"\1" * 23])
def test_a_table_without_certificates(data: bytes) -> None:
    assert certificate_table.read(data) == ()


def test_a_table_without_end() -> None:
    entry = b"\1" * 16 + bytes(8)
    with pytest.raises(ValueError, match="framed"):
        certificate_table.read(entry * 40)


class Module:
    """A Nitro Security Module behind the ioctl; ``answer`` replaces what it says."""

    def __init__(self, answer: object = None, claims: int = 0) -> None:
        self.answer, self.claims = answer, claims

    def __call__(self, descriptor: int, number: int, call: bytearray) -> int:
        assert descriptor > 2
        assert number == nsm.RAW
        request, size, response, room = struct.unpack("<QQQQ", call)
        asked = cbor2.loads(ctypes.string_at(request, size))["Attestation"]
        made = {"Attestation": {"document": nitro.document(fields=asked)}}
        answer = cbor2.dumps(self.answer or made)
        assert len(answer) <= room
        ctypes.memmove(response, answer, len(answer))
        struct.pack_into("<Q", call, 24, self.claims or len(answer))
        return 0


def device(folder: Path) -> Path:
    path = folder / "device"
    path.touch()
    return path


@pytest.mark.parametrize("size", [1, 23, 24, 64, 255, 256, 512])
def test_a_nitro_document_answers_what_was_asked(size: int, tmp_path: Path) -> None:
    asked = bytes([7] * size)
    collector = NsmCollector(public_key=b"key", device=device(tmp_path), ioctl=Module())
    bundle = collector.collect(asked)
    assert (bundle.kind, collector.kind) == ("nitro", "nitro")
    expectations = wanted(nonce=asked.hex(), user_data=asked.hex(), public_key=b"key".hex())
    assert check(bundle.evidence["document"], expectations).report_data == asked


def test_a_document_without_a_public_key(tmp_path: Path) -> None:
    bundle = NsmCollector(device=device(tmp_path), ioctl=Module()).collect(DATA)
    facts = check(bundle.evidence["document"], wanted(nonce=DATA.hex()))
    assert facts.claims["public_key"] == ""


@pytest.mark.parametrize(
    "module",
    [
        Module({"Error": "InvalidArgument"}),
        Module({"Attestation": {}}),
        Module([1]),
        Module(claims=nsm.MAX_RESPONSE + 1),
        Module(claims=5),
    ],
)
def test_a_module_that_gives_no_document(module: Module, tmp_path: Path) -> None:
    with lacks("attest.nsm_failed"):
        NsmCollector(device=device(tmp_path), ioctl=module).collect(DATA)


def test_no_security_module(tmp_path: Path) -> None:
    with lacks("attest.nsm_missing"):
        NsmCollector(device=tmp_path / "none").collect(DATA)
    for size in (0, 513):
        with pytest.raises(ValueError, match="512"):
            NsmCollector().collect(bytes(size))
