"""After loading no copy of the data key is in the process; what is not acceptable is not loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pytest

from strongroom.artifact.policy import DisclosurePolicy
from strongroom.release.policies.embedded import embedded

from .world import Home, key_release, start

MASK = bytes(byte ^ 0x5A for byte in range(256))

LOAD = """
    import json, os, sys
    from pathlib import Path
    from strongroom.artifact.data_key import DataKey
    from strongroom.errors import StrongroomError
    from strongroom.keeper.config import KeeperConfig
    from strongroom.keeper.loading import load
    from strongroom.release.evidence import LocalAttester
    from strongroom.process import read_config

    MASK = bytes(byte ^ 0x5A for byte in range(256))

    def copies(masked):
        '''Copies of a key in this process; the key itself is never in the search's own hands.'''
        found = 0
        memory = os.open("/proc/self/mem", os.O_RDONLY)
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, access, *_ = line.split()
            if not access.startswith("r") or "[v" in line:
                continue
            at, end = (int(part, 16) for part in span.split("-"))
            while at < end:
                chunk = os.pread(memory, min(end - at, 1 << 20), at)
                if not chunk:
                    break
                found += chunk.translate(MASK).count(masked)
                at += len(chunk) if at + len(chunk) >= end else len(chunk) - 31
        return found

    masked = bytes.fromhex(sys.argv[1])
    config, digest = read_config("keeper", int(sys.argv[2]), KeeperConfig)
    report = {"alive": None}
    wipe = DataKey.wipe
    if sys.argv[1] and os.environ.get("LOOK_BEFORE"):
        def looking(self):
            report["alive"] = copies(masked)
            wipe(self)
        DataKey.wipe = looking
    try:
        loaded = load(config, LocalAttester(digest))
    except StrongroomError as error:
        print(json.dumps({"error": error.code}))
        sys.exit(0)
    report["left"] = copies(masked)
    report["tensors"] = {n: [e.dtype, list(e.shape)] for n, e in loaded.model.tensors.items()}
    report["kept"] = loaded.lease.descriptor == config.release_fd
    os.fstat(config.release_fd)
    loaded.lease.look()  # nothing is due, and nothing is asked
    print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("home")
    model = folder / "plain"
    model.mkdir()
    values = np.arange(300_000, dtype="<f4")
    header = {"w": {"dtype": "F32", "shape": [300, 1000], "data_offsets": [0, values.nbytes]}}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + values.tobytes()
    (model / "model.safetensors").write_bytes(content)
    (model / "config.json").write_text("{}")
    return Home.make(folder, model, DisclosurePolicy())


def load(home: Home, **environment: str) -> dict[str, object]:
    with key_release(home) as release:
        os.environ.update(environment)
        try:
            child = start(
                ["-c", textwrap.dedent(LOAD), home.data_key.translate(MASK).hex()],
                home.keeper_config(release.socket.fileno(), 9),
                [release.socket.fileno()],
            )
        finally:
            for name in environment:
                del os.environ[name]
        out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    report: dict[str, object] = json.loads(out)
    return report


def test_no_copy_of_the_data_key_is_left_in_memory(home: Home) -> None:
    report = load(home)
    assert report["left"] == 0
    assert report["tensors"] == {"w": ["F32", [300, 1000]]}


def test_the_search_finds_the_key_while_it_is_there(home: Home) -> None:
    """Positive control: the same search, just before the key is wiped."""
    alive = load(home, LOOK_BEFORE="1")["alive"]
    assert isinstance(alive, int)
    assert alive >= 1


def test_the_socket_to_key_release_is_kept_for_the_lease(home: Home) -> None:
    assert load(home)["kept"] is True


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signers": []}, "artifact.signer_unknown"),
        ({"signers": ["AAAA"]}, "artifact.bad_signer"),
        ({"service_key": "AAAA"}, "keeper.service_key_malformed"),
        ({"service_key": "not base64"}, "keeper.service_key_malformed"),
        ({"service_key": "A" * 43 + "="}, "release.bad_signature"),
        ({"sealed": "/nonexistent"}, None),
    ],
)
def test_what_is_not_trusted_is_not_loaded(
    home: Home, changes: dict[str, object], code: str | None
) -> None:
    home.changes = {"keeper": changes}
    try:
        report = load(home)
    finally:
        home.changes = {}
    assert report["error"] == code if code else str(report["error"]).startswith("artifact.")


def test_an_older_release_than_the_newest_seen_is_not_loaded(home: Home, tmp_path: Path) -> None:
    state = tmp_path / "releases.json"
    seen = {"models": {"tiny": {"digest": "0" * 64, "release": 2}}, "version": 1}
    state.write_text(json.dumps(seen, separators=(",", ":")))
    home.changes = {"keeper": {"release_state": str(state)}}
    try:
        assert load(home)["error"] == "artifact.rollback"
    finally:
        home.changes = {}


def test_a_refused_key_opens_nothing(home: Home) -> None:
    home.changes = {"release": {"policy": msgspec.to_builtins(embedded("0" * 64))}}
    try:
        assert load(home)["error"] == "release.denied"
    finally:
        home.changes = {}


def test_loading_imports_no_engine_and_no_web_framework() -> None:
    """Loading needs no engine, no lock-down and no web framework."""
    code = "import sys, strongroom.keeper.loading; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"uvicorn", "jinja2", "tokenizers", "transformers"} & set(done.stdout.split())
