"""The searches that prove an absence must find what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from demo import ROOT
from demo.attacks.memory_theft import steal, steal_from_open_process
from demo.disk import files_under, search_files, weight_windows
from demo.memory import search_memory
from demo.privilege import as_ordinary_child, ptrace_scope
from demo.safetensors_file import TensorSource, write_safetensors

WALLED = """
import ctypes, sys
weights = open(sys.argv[1], "rb").read()
if sys.argv[2] == "walled":
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(11)
    path = tmp_path_factory.mktemp("plain") / "model.safetensors"
    arrays = {f"t{i}": generator.standard_normal((512, 256), np.float32) for i in range(8)}
    write_safetensors(
        path,
        {name: TensorSource("F32", a.shape, lambda a=a: a) for name, a in arrays.items()},
    )
    return path


def test_windows_are_found_where_the_weights_lie(weights: Path, tmp_path: Path) -> None:
    windows = weight_windows(weights)
    (tmp_path / "deep").mkdir()
    copy = tmp_path / "deep" / "leak"
    copy.write_bytes(b"x" * 4097 + windows[-1] + b"y")
    (tmp_path / "innocent").write_bytes(os.urandom(100_000))
    found = search_files(files_under([tmp_path]), windows)
    assert found.found == [copy]
    assert found.files == 2


def test_nothing_is_found_where_nothing_lies(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "noise").write_bytes(os.urandom(1_000_000))
    assert search_files(files_under([tmp_path]), weight_windows(weights)).found == []


def test_only_what_changed_since_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.touch()
    after = path.stat().st_ctime + 1
    assert list(files_under([tmp_path], changed_since=after)) == []
    assert list(files_under([tmp_path])) == [path]


def test_zeros_are_not_worth_searching_for(tmp_path: Path) -> None:
    path = tmp_path / "zeros.safetensors"
    source = TensorSource("F32", (100_000,), lambda: np.zeros(100_000, np.float32))
    write_safetensors(path, {"zeros": source})
    with pytest.raises(ValueError, match="variety"):
        weight_windows(path)


@pytest.fixture(params=["open", "walled"])
def victim(request: pytest.FixtureRequest, weights: Path) -> Iterator[tuple[str, int]]:
    with subprocess.Popen(
        [sys.executable, "-c", WALLED, str(weights), request.param],
        preexec_fn=as_ordinary_child,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        yield request.param, process.pid
        process.kill()


@pytest.mark.skipif(ptrace_scope() > 0, reason="Yama forbids reading siblings' memory here")
def test_memory_is_read_exactly_where_no_wall_stands(
    victim: tuple[str, int], weights: Path
) -> None:
    kind, pid = victim
    found = steal(pid, weight_windows(weights)[0])
    if kind == "open":
        assert found.hits == [1]
        assert not found.refusal
    else:
        assert found.bytes_read == 0
        assert found.refusal.startswith("Permission denied")


@pytest.mark.skipif(ptrace_scope() > 1, reason="Yama forbids reading any memory here")
def test_the_control_of_the_memory_attack_finds_the_weights(weights: Path) -> None:
    assert steal_from_open_process(weights, weight_windows(weights)[0]).hits == [1]


def test_a_needle_across_two_chunks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    needle = os.urandom(64)
    held = bytearray(os.urandom(4096 * 64))
    for place in range(1000, len(held) - 64, 8191):
        held[place : place + 64] = needle
    expected = len(range(1000, len(held) - 64, 8191))
    monkeypatch.setattr("demo.memory.CHUNK", 4096)
    assert search_memory(os.getpid(), [needle]).hits[0] >= expected


def test_without_capabilities_root_is_nobody_special() -> None:
    code = "from demo.privilege import may_read_any_process as m; print(m())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=as_ordinary_child,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout == "False\n"
