"""``strongroom operator`` on a real home."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.cli.home import Home
from strongroom.cli.main import run
from strongroom.console.operators import Operators
from strongroom.gateway.config import read_pepper


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    assert run(["init", "--home", str(path)]) == 0
    return path


def test_an_operator_is_made_listed_and_revoked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["operator", "create", "ada", "--home", str(home), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    operators = Operators(Home(home).operators, read_pepper(home / "keys" / "pepper"))
    assert operators.identify(made["key"]) is not None
    assert run(["operator", "create", "ada", "--home", str(home)]) == 5
    assert "console.operator_exists" in capsys.readouterr().err
    assert run(["operator", "revoke", made["id"], "--home", str(home)]) == 0
    assert operators.identify(made["key"]) is None
    capsys.readouterr()
    assert run(["operator", "list", "--home", str(home), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["operators"]
    assert (listed["name"], listed["state"]) == ("ada", "revoked")


def test_for_people(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["operator", "list", "--home", str(home)]) == 0
    assert "There are no operators." in capsys.readouterr().out
    assert run(["operator", "create", "ada", "--home", str(home)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("sro_")
    assert "shown once" in shown.err
    assert run(["operator", "list", "--home", str(home)]) == 0
    assert "in force" in capsys.readouterr().out


def test_an_operators_key_serves_no_requests(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["key", "create", "--org", "Acme", "--home", str(home), "--json"])
    callers = json.loads(capsys.readouterr().out.splitlines()[-1])["key"]
    operators = Operators(Home(home).operators, read_pepper(home / "keys" / "pepper"))
    operators.create("ada", datetime(2026, 1, 1, tzinfo=UTC))
    assert operators.identify(callers) is None
