"""A real TPM 2.0 in software: our collector quotes, our credential opens, our verifier judges.

Skips where swtpm or tpm2-tools are not installed (Debian: swtpm, tpm2-tools,
libtss2-tcti-swtpm0).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from strongroom.attest.collect.tpm import TpmCollector
from strongroom.attest.interface import EvidenceRefused
from strongroom.attest.tpm.ak import name_of
from strongroom.attest.tpm.bundled import verify_bundle
from strongroom.attest.tpm.credential import make
from strongroom.attest.tpm.expectations import Credential, Expectations
from strongroom.errors import EnvironmentLacks
from tests.attest.simulated import tpm as sim

from .world import PARTIES, ROOTS, UPPER

TOOLS = ("swtpm", "tpm2_quote", "tpm2_createek", "tpm2_activatecredential")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
NONCE = bytes(range(48))


def two_free_ports() -> int:
    """A port that is free together with the next one, which swtpm's control channel takes."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    pytest.skip("no two free ports in a row")


class Machine:
    """A TPM with an endorsement key and an attestation key."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.tcti = f"swtpm:host=127.0.0.1,port={port}"
        self.ak = str(folder / "ak.ctx")

    def run(self, command: list[str] | tuple[str, ...]) -> None:
        done = subprocess.run(
            list(command),
            cwd=self.folder,
            env={**os.environ, "TPM2TOOLS_TCTI": self.tcti},
            capture_output=True,
            timeout=60,
        )
        if done.returncode:
            raise EnvironmentLacks("attest.tpm_tools_failed", done.stderr.decode(), action="")

    def tool(self, line: str) -> None:
        self.run(line.split())
        # A socket has no resource manager: what a tool leaves loaded would fill the TPM.
        self.run(("tpm2_flushcontext", "-t"))

    def prepare(self) -> None:
        self.tool("tpm2_createek -G rsa -c ek.ctx -u ek.pem -f pem")
        self.tool("tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.out")
        self.tool("tpm2_readpublic -c ak.ctx -f tpmt -o ak.tpmt")

    def activate(self, credential: bytes) -> bytes:
        (self.folder / "credential").write_bytes(credential)
        self.tool("tpm2_startauthsession --policy-session -S session.ctx")
        self.tool("tpm2_policysecret -S session.ctx -c e")
        self.tool(
            "tpm2_activatecredential -c ak.ctx -C ek.ctx -i credential -o answer "
            "-P session:session.ctx"
        )
        self.tool("tpm2_flushcontext session.ctx")
        return (self.folder / "answer").read_bytes()

    @property
    def area(self) -> bytes:
        return (self.folder / "ak.tpmt").read_bytes()

    @property
    def ek(self) -> bytes:
        key = load_pem_public_key((self.folder / "ek.pem").read_bytes())
        return key.public_bytes(sim.DER, sim.SPKI)

    def collector(self, **changes: object) -> TpmCollector:
        run = lambda command: (self.run(command), self.run(("tpm2_flushcontext", "-t")))  # noqa: E731
        return TpmCollector(ak=self.ak, log=self.folder / "none", run=run, **changes)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("tpm")
    port = two_free_ports()
    server = subprocess.Popen(
        [
            *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}"),
            *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
            *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
            *("--flags", "not-need-init,startup-clear"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        made = Machine(folder, port)
        for attempt in range(50):
            try:
                made.run(("tpm2_getrandom", "4"))
                break
            except EnvironmentLacks:
                if attempt == 49 or server.poll() is not None:
                    raise
                time.sleep(0.1)
        made.prepare()
        yield made
    finally:
        server.terminate()
        server.wait(10)


def test_a_pinned_key_quotes(machine: Machine) -> None:
    bundle = machine.collector().collect(NONCE)
    pin = hashlib.sha256(bundle.evidence["ak"]).hexdigest()
    chosen = Expectations(nonce=NONCE.hex(), ak_pins=frozenset({pin}))
    facts = verify_bundle(bundle, now=sim.NOW, expectations=chosen)
    assert facts.report_data == NONCE
    assert facts.claims["clock_safe"] is True
    stale = msgspec.structs.replace(chosen, nonce=bytes(48).hex())
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(bundle, now=sim.NOW, expectations=stale)
    assert refused.value.code == "attest.tpm_nonce"


def test_an_extended_pcr_is_seen(machine: Machine) -> None:
    before = machine.collector(selection=(16,)).collect(NONCE)
    machine.tool("tpm2_pcrextend 16:sha256=" + "ab" * 32)
    after = machine.collector(selection=(16,)).collect(NONCE)
    pin = hashlib.sha256(after.evidence["ak"]).hexdigest()
    value = before.evidence["pcrs"].hex()
    chosen = Expectations(
        nonce=NONCE.hex(),
        ak_pins=frozenset({pin}),
        selection=(16,),
        pcrs={"16": frozenset({value})},
    )
    assert verify_bundle(before, now=sim.NOW, expectations=chosen).measurements["pcr16"] == value
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(after, now=sim.NOW, expectations=chosen)
    assert refused.value.code == "attest.tpm_pcr"
    swapped = {**after.evidence, "pcrs": before.evidence["pcrs"]}
    with pytest.raises(EvidenceRefused) as refused:
        verify_bundle(
            msgspec.structs.replace(after, evidence=swapped), now=sim.NOW, expectations=chosen
        )
    assert refused.value.code == "attest.tpm_digest"


def test_a_credential_of_ours_opens_in_the_tpm_that_holds_both_keys(machine: Machine) -> None:
    secret, blob = make(machine.ek, name_of(machine.area))
    answer = machine.activate(blob)
    assert answer == secret
    certificate = sim.issue(
        "EK",
        PARTIES["ca"],
        load_pem_public_key((machine.folder / "ek.pem").read_bytes()),
        purpose=sim.EK_PURPOSE,
    )
    collector = machine.collector(
        certificates=(certificate.der, *UPPER),
        extra={"ak_public": machine.area, "answer": answer},
    )
    credential = Credential(
        secret=secret.hex(),
        ak_name=name_of(machine.area).hex(),
        ek=hashlib.sha256(machine.ek).hexdigest(),
    )
    chosen = Expectations(nonce=NONCE.hex(), roots=ROOTS, credential=credential)
    facts = verify_bundle(collector.collect(NONCE), now=sim.NOW, expectations=chosen)
    assert facts.claims["ak_trust"] == "credential"


def test_a_credential_for_another_key_stays_shut(machine: Machine) -> None:
    _, blob = make(machine.ek, name_of(b"another key"))
    with pytest.raises(EnvironmentLacks):
        machine.activate(blob)


def test_a_credential_for_another_tpm_stays_shut(machine: Machine) -> None:
    _, blob = make(sim.spki(PARTIES["ek"].key), name_of(machine.area))
    with pytest.raises(EnvironmentLacks):
        machine.activate(blob)
