"""The attester: it answers what it is asked, says why it cannot, and nobody needs to believe it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strongroom import framing
from strongroom.attest.bundle import Bundle, decode, encode
from strongroom.attester.config import AttesterConfig, EvidenceSource
from strongroom.attester.forwarded import ForwardedAttester
from strongroom.attester.serving import serve
from strongroom.attester.sources import attester_of
from strongroom.attester.wire import MAX_FRAME_BYTES, Devices, Guest
from strongroom.errors import BoundaryRefused, EnvironmentLacks, StrongroomError
from strongroom.release.hardware import HardwareAttester

DATA, NONCE = bytes(range(64)), bytes(range(32))


@dataclass(frozen=True)
class Echo:
    """A machine whose evidence is what it was asked to carry."""

    kind: str

    def collect(self, report_data: bytes) -> Bundle:
        return Bundle(kind=self.kind, evidence={"report": report_data})


class Broken:
    kind = "snp"

    def collect(self, report_data: bytes) -> Bundle:
        raise EnvironmentLacks("attest.tsm_missing", "No configfs.", action="Boot another kernel.")


@contextmanager
def attester(found: HardwareAttester, timeout: float = 10) -> Iterator[ForwardedAttester]:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs, found), daemon=True)
    thread.start()
    try:
        yield ForwardedAttester(ours, found.kind, timeout)
    finally:
        ours.close()
        thread.join(10)
        theirs.close()
    assert not thread.is_alive()


def test_what_the_machine_says_reaches_the_workload() -> None:
    beside = Bundle(kind="snp", evidence={}, certificates=(b"leaf", b"root"))
    with attester(HardwareAttester(Echo("snp"), beside, Echo("nvidia"))) as ours:
        found = decode(ours.attest(DATA))
        assert (found.kind, found.evidence["report"]) == ("snp", DATA)
        assert found.certificates == (b"leaf", b"root")
        devices = decode(ours.devices(NONCE))
        assert (devices.kind, devices.evidence["report"]) == ("nvidia", NONCE)
        assert decode(ours.attest(DATA[::-1])).evidence["report"] == DATA[::-1]


def test_a_machine_without_gpus_says_so_with_nothing() -> None:
    with attester(HardwareAttester(Echo("tdx"))) as ours:
        assert ours.devices(NONCE) == b""


def test_what_the_machine_lacks_is_said_and_the_next_question_is_heard() -> None:
    with attester(HardwareAttester(Broken())) as ours:
        for _ in range(2):
            with pytest.raises(EnvironmentLacks) as lacking:
                ours.attest(DATA)
            assert lacking.value.code == "attest.tsm_missing"
            assert "Boot another kernel" in lacking.value.action


def test_after_a_silence_no_answer_is_taken_for_another() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asking = ForwardedAttester(ours, "snp", timeout=0.05)
        for _ in range(2):
            with pytest.raises(EnvironmentLacks) as gone:
                asking.attest(DATA)
            assert gone.value.code == "attester.gone"
            late = msgspec.json.encode({"type": "evidence", "bundle": "bGF0ZQ=="})
            theirs.sendall(framing.encode(late, MAX_FRAME_BYTES))


def test_an_attester_that_hangs_up_is_told_of() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(EnvironmentLacks, match="attester did not answer"):
            ForwardedAttester(ours, "snp").attest(DATA)


@given(st.binary(max_size=200))
def test_whatever_an_attester_says_is_evidence_or_an_error(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(StrongroomError):
            ForwardedAttester(ours, "snp", timeout=5).attest(DATA)


@example(msgspec.json.encode(Guest(DATA[:63])))  # too short to bind
@example(msgspec.json.encode(Devices(DATA)))
@given(st.binary(min_size=1, max_size=200))
def test_what_is_no_question_ends_the_attester(asked: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(framing.encode(asked, MAX_FRAME_BYTES))
        with pytest.raises(BoundaryRefused) as refused:
            serve(theirs, HardwareAttester(Echo("snp")))
        assert refused.value.code == "attester.bad_question"


def test_a_source_that_names_nothing_usable_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_bytes(encode(Bundle(kind="tdx", evidence={})))
    sources = {
        "attester.no_device": [
            EvidenceSource(guest="tpm"),
            EvidenceSource(guest="tdx", device="own"),
            EvidenceSource(),
        ],
        "attester.bad_bundle": [
            EvidenceSource(guest="snp", beside=str(wrong)),
            EvidenceSource(guest="snp", beside=str(tmp_path / "none")),
        ],
    }
    for code, several in sources.items():
        for source in several:
            with pytest.raises(StrongroomError) as refused:
                attester_of(source)
            assert refused.value.code == code


def test_the_process_says_what_this_machine_lacks() -> None:
    """A real process. Where the tests do run in an enclave, there is evidence."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    config = AttesterConfig(theirs.fileno(), EvidenceSource(guest="nitro"))
    os.write(writing, msgspec.json.encode(config))
    os.close(writing)
    command = [sys.executable, "-m", "strongroom.attester", "--config-fd", str(reading)]
    with subprocess.Popen(command, pass_fds=(reading, theirs.fileno())) as process:
        theirs.close()
        os.close(reading)
        with ours:
            asking = ForwardedAttester(ours, "nitro")
            if Path("/dev/nsm").exists():
                assert decode(asking.attest(DATA)).kind == "nitro"
            else:
                with pytest.raises(EnvironmentLacks) as lacking:
                    asking.attest(DATA)
                assert lacking.value.code.startswith("attest.nsm")
        assert process.wait(60) == 0
