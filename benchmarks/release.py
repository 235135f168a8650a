"""How long a workload waits for its key: challenge, evidence, verdict, policy, unwrapping, HPKE.

A real release process (keyring file, Cedar policy, decisions synced to a file before a key leaves)
over the socket that ``serve`` gives it. The evidence is ``local``, so what a verifier of hardware
takes comes on top: see ``benchmarks.attest``. Each process answers at most 64 challenges and is
then replaced by a fresh one, whose start and whose first release are not counted.

``python -m benchmarks.release [--processes 8] [--each 60]``
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from strongroom.artifact.data_key import DataKey
from strongroom.keys.keyring import FileKeyring
from strongroom.release import client
from strongroom.release.config import KeyringUnlocker, ReleaseConfig
from strongroom.release.evidence import LocalAttester
from strongroom.release.policies.embedded import embedded
from strongroom.release.recording import acknowledgement
from strongroom.release.service_key import ServiceKey

CONTEXT, MANIFEST = b"benchmark", "ab" * 32
PASSPHRASE = b"correct horse battery staple"


def pipe(content: bytes) -> int:
    """The reading end of a pipe that holds ``content``."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def keep(process: subprocess.Popen[bytes], path: Path) -> None:
    """Keep the record as whoever starts key release does: on the disk before it is told so."""
    if process.stdin is None or process.stdout is None:
        return
    with path.open("wb") as record:
        for line in process.stdout:
            record.write(line)
            record.flush()
            os.fsync(record.fileno())
            process.stdin.write(acknowledgement(json.loads(line)["decision"]))
            process.stdin.flush()


def run(folder: Path, times: int) -> list[float]:
    """Seconds of ``times`` releases by one process, after a first."""
    with FileKeyring.create(folder / "keyring", PASSPHRASE) as keyring:
        recipient = keyring.wrap(DataKey.generate(), CONTEXT)
    service_key = ServiceKey.create(folder / "service")
    ours, theirs = socket.socketpair()
    passphrase = pipe(PASSPHRASE)
    config = ReleaseConfig(
        service_key=str(folder / "service"),
        unlockers=(KeyringUnlocker(str(folder / "keyring"), passphrase),),
        release_fd=theirs.fileno(),
        policy=embedded(),
    )
    reading = pipe(msgspec.json.encode(config))
    handed = (reading, passphrase, theirs.fileno())
    command = [sys.executable, "-m", "strongroom.release", "--config-fd", str(reading)]
    process = subprocess.Popen(
        command, pass_fds=handed, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    keeping = threading.Thread(target=keep, args=(process, folder / "decisions"))
    keeping.start()
    for descriptor in handed:
        os.close(descriptor)
    theirs.detach()
    seconds = []
    try:
        for _ in range(times + 1):
            began = time.perf_counter()
            client.obtain_key(
                ours,
                recipients=[recipient],
                context=CONTEXT,
                model="acme/model",
                release=1,
                manifest_digest=MANIFEST,
                evidence=LocalAttester("cd" * 32),
                service_key=service_key.public,
            ).key.wipe()
            seconds.append(time.perf_counter() - began)
    finally:
        ours.close()
        process.wait(30)
        keeping.join(30)
    written = (folder / "decisions").read_bytes().splitlines()
    released = [json.loads(line)["outcome"] for line in written]
    if released != ["released"] * (times + 1):
        raise RuntimeError(f"{len(released)} decisions for {times + 1} keys")
    return seconds[1:]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--each", type=int, default=60, help="releases by one process, 63 at most")
    given = parser.parse_args()
    found: list[float] = []
    for _ in range(given.processes):
        with tempfile.TemporaryDirectory() as folder:
            found += run(Path(folder), given.each)
    found.sort()
    print(
        f"{len(found)} releases: median {statistics.median(found) * 1e3:.2f} ms, "
        f"99th percentile {found[int(len(found) * 0.99)] * 1e3:.2f} ms, "
        f"most {found[-1] * 1e3:.2f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
