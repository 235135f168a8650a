"""A home, a small plain model and its sealed form, made once by the real command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from strongroom.cli.main import run
from tests.cli.tiny_llama import write_tiny_llama

COMMAND = Path(sys.executable).with_name("strongroom")


@dataclass
class Said:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The code of a JSON error on standard error, which must be its last line."""
        return str(json.loads(self.err.splitlines()[-1])["error"])


Runs = Callable[..., Said]


@pytest.fixture
def strongroom(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Run the command line in this process."""
    monkeypatch.delenv("STRONGROOM_HOME", raising=False)

    def call(*words: str | Path) -> Said:
        capfd.readouterr()
        umask = os.umask(0o022)
        try:
            code = run([str(word) for word in words])
        finally:
            os.umask(umask)
        captured = capfd.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@dataclass
class Made:
    """Paths of what ``made`` made."""

    home: Path
    plain: Path
    sealed: Path


def command(*words: str | Path) -> None:
    """Run the installed command; it must succeed."""
    subprocess.run([COMMAND, *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Made once; never altered."""
    work = tmp_path_factory.mktemp("cli")
    made = Made(work / "home", write_tiny_llama(work / "tiny"), work / "tiny.sealed")
    command("init", "--home", made.home)
    command("--home", made.home, "seal", made.plain, "--out", made.sealed)
    return made


@pytest.fixture
def made(originals: Made, tmp_path: Path) -> Made:
    """A copy that a test may alter."""
    copies = Made(tmp_path / "home", tmp_path / "tiny", tmp_path / "tiny.sealed")
    shutil.copytree(originals.home, copies.home)
    shutil.copytree(originals.plain, copies.plain)
    shutil.copytree(originals.sealed, copies.sealed)
    return copies
