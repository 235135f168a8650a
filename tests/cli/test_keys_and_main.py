"""``key``, ``recipient``, and how the entry tells of errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.cli import main
from tests.cli.conftest import COMMAND, Made, Runs


def test_a_key_is_shown_once_and_revoked(strongroom: Runs, made: Made) -> None:
    home = ("--home", made.home)
    text = strongroom(*home, "key", "create", "--org", "acme")
    assert text.code == 0
    key = text.out.strip()
    assert key.startswith("sr_")
    assert len(text.out.splitlines()) == 1  # scripts may take all of standard output
    listed = strongroom(*home, "key", "list", "--json")
    assert key not in listed.out
    [row] = listed.json["keys"]
    assert (row["organisation"], row["state"], row["id"]) == ("acme", "in force", key.split("_")[1])
    stored = (made.home / "state" / "strongroom.sqlite").read_bytes()
    assert row["id"].encode() in stored
    assert key.split("_", 2)[2].encode() not in stored
    assert strongroom(*home, "key", "revoke", row["id"]).code == 0
    assert strongroom(*home, "key", "list", "--json").json["keys"][0]["state"] == "revoked"
    assert "revoked" in strongroom(*home, "key", "list").out


def test_key_refusals(strongroom: Runs, made: Made) -> None:
    home = ("--home", made.home)
    said = strongroom(*home, "key", "revoke", "0" * 16, "--json")
    assert (said.code, said.refusal) == (5, "store.no_key")
    said = strongroom(*home, "key", "create", "--org", " acme", "--json")
    assert (said.code, said.refusal, said.out) == (5, "store.bad_name", "")
    expiring = strongroom(*home, "key", "create", "--org", "a", "--days", "3", "--json").json
    assert expiring["expires"]


def test_a_recipient_pair_is_never_overwritten(strongroom: Runs, tmp_path: Path) -> None:
    words = ("recipient", "create", "--out", tmp_path / "a.pub", "--json")
    pair = strongroom(*words).json
    private = Path(pair["identity"])
    assert private.stat().st_mode & 0o777 == 0o600
    before = private.read_bytes()
    said = strongroom(*words)
    assert (said.code, said.refusal) == (4, "keys.file_exists")
    assert private.read_bytes() == before
    private.unlink()
    said = strongroom(*words)
    assert (said.code, said.refusal) == (4, "keys.file_exists")
    assert not private.exists()  # no half of a pair is left


def test_people_get_a_sentence_a_code_and_a_remedy(strongroom: Runs, tmp_path: Path) -> None:
    said = strongroom("--home", tmp_path / "none", "verify", tmp_path)
    assert (said.code, said.out) == (5, "")
    assert "There is no strongroom home at" in said.err
    assert "code: cli.no_home" in said.err
    assert "strongroom init" in said.err
    assert "Traceback" not in said.err


def test_the_unexpected_is_short_unless_asked(
    strongroom: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Path) -> None:
        raise ZeroDivisionError("with a secret in it")

    monkeypatch.setattr("strongroom.cli.home.open_home", broken)
    said = strongroom("key", "list")
    assert said.code == 1
    assert "ZeroDivisionError" in said.err
    assert "STRONGROOM_TRACEBACK=1" in said.err
    assert "secret" not in said.err
    monkeypatch.setenv("STRONGROOM_TRACEBACK", "1")
    assert "Traceback" in strongroom("key", "list").err


def test_an_interrupt_is_130(strongroom: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("strongroom.cli.home.open_home", interrupted)
    assert strongroom("key", "list").code == main.INTERRUPTED


def test_help_version_and_usage(strongroom: Runs) -> None:
    for verb in main.Verbs.order:
        said = strongroom(verb, "--help")
        assert said.code == 0
        assert "Usage: strongroom" in said.out
    assert strongroom("--version").out.startswith("strongroom, version ")
    said = strongroom("fly", "--json")
    assert (said.code, said.refusal) == (2, "cli.usage")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom strongroom.cli.main import run\nrun(['--help'])\n"
        "heavy = {'torch', 'cryptography', 'rich', 'numpy', 'msgspec', 'uvicorn'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_installed_command_exits_with_the_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "--home", tmp_path / "none", "key", "list"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (5, "")
