"""What a release process is started with, and what is wrong with it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

import strongroom
from strongroom.errors import ConfigurationRefused, EnvironmentLacks, StrongroomError
from strongroom.keys.keyring import FileKeyring
from strongroom.release.config import KeyringUnlocker, VaultUnlocker
from strongroom.release.evidence import LocalAttester, running_measurement
from strongroom.release.hardening import harden
from strongroom.release.policies.document import template
from strongroom.release.unlockers import open_unlocker

PASSPHRASE = b"correct horse battery staple"


def handed_down(content: bytes) -> int:
    """The reading end of a pipe that holds ``content``."""
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    return read


def code_of(unlocker: Any) -> str:
    with pytest.raises(StrongroomError) as refused:
        open_unlocker(unlocker)
    assert PASSPHRASE.decode() not in str(refused.value)
    return refused.value.code


@pytest.fixture
def keyring(tmp_path: Path) -> str:
    path = tmp_path / "keyring"
    FileKeyring.create(path, PASSPHRASE).close()
    return str(path)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_passphrase_is_all_but_one_newline(keyring: str, end: bytes) -> None:
    open_unlocker(KeyringUnlocker(keyring, handed_down(PASSPHRASE + end))).close()


def test_another_passphrase_does_not_open(keyring: str) -> None:
    assert code_of(KeyringUnlocker(keyring, handed_down(PASSPHRASE + b"\n\n"))).startswith("keys.")


def test_a_passphrase_is_bounded(keyring: str) -> None:
    found = code_of(KeyringUnlocker(keyring, handed_down(b"a" * 4097)))
    assert found == "release.passphrase_oversized"


def test_a_descriptor_that_cannot_be_read(keyring: str) -> None:
    read, write = os.pipe()
    os.close(read)
    assert code_of(KeyringUnlocker(keyring, write)) == "release.passphrase_unreadable"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(write)  # it was closed all the same


def test_a_token_is_text(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_bytes(b"hvs.\xff")
    token.chmod(0o600)
    found = code_of(VaultUnlocker("https://vault.invalid", "key", str(token)))
    assert found == "release.bad_token_file"


def test_a_kernel_that_does_not_harden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        @staticmethod
        def prctl(*_: object) -> int:
            ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_a, **_k: Refusing)
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    with pytest.raises(EnvironmentLacks) as lacks:
        harden()
    assert lacks.value.code == "release.cannot_harden"


def test_an_installation_without_files_attests_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    running_measurement.cache_clear()
    monkeypatch.setattr(strongroom, "__file__", None)
    with pytest.raises(EnvironmentLacks) as lacks:
        LocalAttester("00" * 32).attest(bytes(64))
    assert lacks.value.code == "release.no_installation"
    monkeypatch.undo()
    assert running_measurement()


def test_a_template_that_is_not_shipped() -> None:
    with pytest.raises(ConfigurationRefused) as refused:
        template("../dev")
    assert refused.value.code == "release.policy_template"
