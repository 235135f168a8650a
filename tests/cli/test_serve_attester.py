"""``serve`` with evidence of a device: a real TPM 2.0 in software, asked through the attester.

Skips where swtpm or tpm2-tools are not installed (Debian: swtpm, tpm2-tools, libtss2-tcti-swtpm0).
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from strongroom.cli import decisions
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.release_entries import KeyReleased, LeaseRenewed
from tests.attest.tpm.test_swtpm import MISSING, Machine, two_free_ports
from tests.cli.conftest import Made, Runs
from tests.cli.test_leases import entries_of
from tests.cli.test_serve import served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
HANDLE = "0x81010002"
POLICY = """
template = "dev"
[lease]
seconds = 600
grace = 598
[[image]]
name = "machine"
kind = "tpm"
measurements = {{ pcr4 = "{pcr4}" }}
[expectations.tpm]
ak_pins = ["{pin}"]
"""


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("tpm")
    port = two_free_ports()
    command = [
        *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}"),
        *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
        *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
        *("--flags", "not-need-init,startup-clear"),
    ]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        made = Machine(folder, port)
        try:
            wait_for(made)
            made.prepare()
            made.tool(f"tpm2_evictcontrol -C o -c ak.ctx {HANDLE}")
            made.tool(f"tpm2_readpublic -c {HANDLE} -f der -o ak.der")
            yield made
        finally:
            server.terminate()


def wait_for(made: Machine) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            made.run(("tpm2_getrandom", "4"))
            return
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def arranged(made: Made, tpm: Machine, *, pcr4: str = "00" * 32, pin: str = "") -> Path:
    """A home that brings the TPM's evidence, and the policy that judges it."""
    settings = made.home / "strongroom.toml"
    text = settings.read_text().replace('guest = "local"', 'guest = "tpm"')
    settings.write_text(text.replace('ak = ""', f'ak = "{HANDLE}"'))
    policy = made.home / "tpm.toml"
    known = hashlib.sha256((tpm.folder / "ak.der").read_bytes()).hexdigest()
    policy.write_text(POLICY.format(pcr4=pcr4, pin=pin or known))
    return policy


def test_a_key_is_had_and_kept_for_a_tpms_quotes(
    strongroom: Runs, made: Made, tpm: Machine
) -> None:
    policy = arranged(made, tpm)
    key = strongroom("--home", made.home, "key", "create", "--org", "acme", "--json").json["key"]
    log_key = LogKey.load(made.home / "keys" / "log.key")
    state = made.home / "state"
    # A home that another test has served from before brings the record of that along.
    before = len(entries_of(state, log_key)) if (state / "log" / decisions.LOG).exists() else 0
    with served(made, "--release-policy", str(policy), TPM2TOOLS_TCTI=tpm.tcti) as server:
        said = server.ready()
        assert said["assurance"] == "HARDWARE"
        client = openai.OpenAI(base_url=f"{said['url']}/v1", api_key=key, max_retries=0)
        until = time.monotonic() + 90
        renewed: list[LeaseRenewed] = []
        while len(renewed) < 2:  # behind the walls, with a fresh quote each time
            assert time.monotonic() < until
            time.sleep(0.5)
            entries = entries_of(state, log_key)[before:]
            renewed = [entry for entry in entries if isinstance(entry, LeaseRenewed)]
        answer = client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "Hi"}], max_tokens=2
        )
        assert answer.usage
        released = [entry for entry in entries if isinstance(entry, KeyReleased)]
        assert released  # twice where a machine slept through a lease: the keeper then asks anew
        assert {(each.evidence_kind, each.assurance) for each in released} == {("tpm", "HARDWARE")}
        digests = [each.evidence_digest for each in (*released, *renewed)]
        assert len(set(digests)) == len(digests)  # no quote was taken twice
        # Who asks the devices holds neither key nor weights: it can be lost and the walls stand.
        (attester,) = children_named(server.process.pid, "strongroom.attester")
        os.kill(attester, signal.SIGKILL)
        assert server.process.wait(60) != 0


def children_named(parent: int, name: str) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in listed if name in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.parametrize(
    ("code", "changes"),
    [("attest.tpm_ak_pinned", {"pin": "11" * 32}), ("release.denied", {"pcr4": "22" * 32})],
    ids=["another machine", "another boot"],
)
def test_what_the_policy_does_not_know_gets_no_key(
    made: Made, tpm: Machine, code: str, changes: dict[str, str]
) -> None:
    policy = arranged(made, tpm, **changes)
    with served(made, "--release-policy", str(policy), TPM2TOOLS_TCTI=tpm.tcti) as server:
        assert server.error()["error"] == code


def test_a_device_that_is_not_there_is_named(made: Made, tpm: Machine) -> None:
    policy = arranged(made, tpm)
    with served(made, "--release-policy", str(policy), TPM2TOOLS_TCTI="device:/nowhere") as server:
        assert server.error()["error"] == "attest.tpm_tools_failed"
