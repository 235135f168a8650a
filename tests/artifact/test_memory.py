"""What opening costs in memory, and what it leaves there. Each measurement in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from strongroom.artifact.secret_access import TOKEN

from .models import SIGNER, Sealed, seal_model, write_model

HERE = Path(__file__).resolve().parent
PRELUDE = """
    import json, sys
    from pathlib import Path
    from strongroom.artifact.data_key import DataKey
    from strongroom.artifact.opening import open_sealed
    from strongroom.artifact.signing import PublicSigner
    from strongroom.artifact.trust import Trust

    def flipped(line):  # the key travels inverted, so that only DataKey ever holds it
        buffer = bytearray.fromhex(line)
        for i in range(len(buffer)):
            buffer[i] ^= 0xFF
        return buffer

    def wipe(buffer):
        buffer[:] = bytes(len(buffer))

    material = flipped(sys.stdin.readline().strip())
    key = DataKey(material)
    wipe(material)
    trust = Trust([PublicSigner.decode(sys.argv[2])])
    def rss(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
"""
PEAK = """
    before = rss()
    Path("/proc/self/clear_refs").write_text("5")
    model = open_sealed(Path(sys.argv[1]), key, trust=trust, state=None)
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps({"peak": peak - before, "size": len(model.arena)}))
"""
OPEN_AND_WAIT = """
    model = open_sealed(Path(sys.argv[1]), key, trust=trust, state=None)
    print("opened", flush=True)
    sys.stdin.readline()
    key.wipe()
    print("wiped", flush=True)
    sys.stdin.readline()
"""


def start(script: str, sealed: Sealed) -> subprocess.Popen[str]:
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    child = subprocess.Popen(
        [sys.executable, "-c", code, sealed.folder, SIGNER.public.encode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    tell(child, bytes(b ^ 0xFF for b in sealed.key.reveal(TOKEN)).hex())
    return child


def tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def copies(pid: int, needle: bytes) -> int:
    """How often ``needle`` stands in the writable memory of another process."""
    found = 0
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for span, mode, *_ in (line.split() for line in maps):
            if "rw" in mode:
                start, end = (int(x, 16) for x in span.split("-"))
                memory.seek(start)
                found += memory.read(end - start).count(needle)
    return found


def test_opening_needs_hardly_more_than_the_weights(tmp_path: Path) -> None:
    size = 128 * 2**20
    source = write_model(tmp_path / "m", {})
    header = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (size, size)
    with (source / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    measured = json.loads(hear(start(PEAK, seal_model(source, tmp_path / "s"))))
    assert measured["size"] == size
    assert size <= measured["peak"] <= 1.05 * size, measured


def test_a_wiped_key_leaves_no_copy(pristine: Sealed) -> None:
    """Control: before wiping, the search does find the key, once."""
    child = start(OPEN_AND_WAIT, pristine)
    key = bytes(pristine.key.reveal(TOKEN))
    try:
        assert hear(child) == "opened"
        assert copies(child.pid, key) == 1
        tell(child, "wipe")
        assert hear(child) == "wiped"
        assert copies(child.pid, key) == 0
    finally:
        child.kill()
        child.communicate()
