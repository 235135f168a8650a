from __future__ import annotations

import os
from pathlib import Path

import pytest
from wrapper_contract import code_of

from strongroom.keys import private_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    private_file.write_private(path, b"content", replace=False)
    return path


def test_reads_what_was_written(path: Path) -> None:
    assert private_file.read_private(path) == b"content"
    private_file.write_private(path, b"newer", replace=True)
    assert private_file.read_private(path) == b"newer"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o660, 0o777])
def test_permissions(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert code_of(lambda: private_file.read_private(path)) == "keys.file_permissions"
    path.chmod(0o400)
    private_file.read_private(path)


def test_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    assert code_of(lambda: private_file.read_private(path)) == "keys.file_owner"


def test_links_and_irregular_files(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    assert code_of(lambda: private_file.read_private(link)) == "keys.file_symlink"
    fifo = path.with_name("fifo")
    os.mkfifo(fifo, 0o600)
    assert code_of(lambda: private_file.read_private(fifo)) == "keys.file_irregular"
    assert code_of(lambda: private_file.read_private(path.parent)) == "keys.file_irregular"
    nowhere = path.with_name("nowhere")
    assert code_of(lambda: private_file.read_private(nowhere)) == "keys.file_missing"


def test_oversized(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(private_file.MAX_BYTES + 1)
    assert code_of(lambda: private_file.read_private(path)) == "keys.file_oversized"
    assert code_of(lambda: private_file.read_public(path)) == "keys.file_oversized"


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused = code_of(lambda: private_file.write_private(path, b"x" * 99, replace=True))
    assert refused == "keys.file_unwritable"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"content"


def test_never_writes_through_a_link(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    private_file.write_private(link, b"other", replace=True)
    assert not link.is_symlink()
    assert path.read_bytes() == b"content"
