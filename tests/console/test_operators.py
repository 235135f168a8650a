"""Operator keys: stored as digests in a private file, and what is wrong with it refuses."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from strongroom.console.operators import Operators
from strongroom.errors import ConfigurationRefused
from tests.console.world import NOW, PEPPER


def test_a_key_is_shown_once_and_stored_as_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "operators.json"
    operators = Operators(path, PEPPER)
    made, text = operators.create("ada@acme", NOW)
    assert operators.identify(text) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text.rpartition("_")[2] not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_without_the_pepper_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "operators.json"
    _, text = Operators(path, PEPPER).create("ada", NOW)
    assert Operators(path, bytes(32)).identify(text) is None


def test_a_name_is_taken_until_it_is_revoked(tmp_path: Path) -> None:
    operators = Operators(tmp_path / "operators.json", PEPPER)
    first, text = operators.create("ada", NOW)
    with pytest.raises(ConfigurationRefused) as caught:
        operators.create("ada", NOW)
    assert caught.value.code == "console.operator_exists"
    assert operators.revoke(first.id, NOW).revoked_at == NOW
    assert operators.identify(text) is None
    assert not operators.current(first.id)
    second, _ = operators.create("ada", NOW)
    assert operators.current(second.id)
    assert [each.id for each in operators.all()] == [first.id, second.id]


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "x" * 65, "a\n", "é", "<b>"])
def test_names_are_identifiers(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        Operators(tmp_path / "operators.json", PEPPER).create(name, NOW)
    assert caught.value.code == "console.bad_operator_name"


def test_revoking_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        Operators(tmp_path / "operators.json", PEPPER).revoke("0" * 16, NOW)
    assert caught.value.code == "console.no_operator"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version":2,"operators":[]}', b"\xff"])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "operators.json"
    operators = Operators(path, PEPPER)
    _, text = operators.create("ada", NOW)
    path.write_bytes(content)
    with pytest.raises(ConfigurationRefused) as caught:
        operators.identify(text)
    assert caught.value.code == "console.operators_unreadable"


def test_a_file_that_others_can_reach_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "operators.json"
    operators = Operators(path, PEPPER)
    _, text = operators.create("ada", NOW)
    path.chmod(0o640)
    with pytest.raises(ConfigurationRefused) as caught:
        operators.identify(text)
    assert caught.value.code == "console.operators_exposed"
