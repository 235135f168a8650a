"""``strongroom log``: the verbs, in a home and on a copied folder by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import LOGS, open_log
from tests.cli.conftest import Runs
from tests.ledger.logs import intent, log_many, switched


@pytest.fixture
def home(strongroom: Runs, tmp_path: Path) -> Path:
    """A home with 300 records in one log and one in another."""
    home = tmp_path / "home"
    assert strongroom("init", "--home", home).code == 0
    if not (home / "keys" / "log.key").exists():
        assert strongroom("log", "init", "--home", home).code == 0
    key = LogKey.load(home / "keys" / "log.key")
    with open_log(home / "state", "gateway", key) as log:
        log_many(log, [intent(number) for number in range(300)])
    with open_log(home / "state", "operator", key) as log:
        log.write(switched())
    return home


def test_a_whole_home_verifies(strongroom: Runs, home: Path) -> None:
    said = strongroom("log", "verify", "--home", home, "--json")
    assert said.code == 0
    found = {log["log"]: log for log in said.json["logs"]}
    assert {name: log["size"] for name, log in found.items()} == {"gateway": 300, "operator": 1}
    assert found["gateway"]["verifier_key"].startswith(found["gateway"]["origin"] + "+")
    said = strongroom("log", "verify", "--home", home, "--log", "operator")
    assert "1 records" in said.out


def test_a_folder_verifies_without_a_home(strongroom: Runs, home: Path, tmp_path: Path) -> None:
    copy, key = tmp_path / "copy", tmp_path / "their.pub"
    shutil.copytree(home / "state" / LOGS / "gateway", copy)
    shutil.copy(home / "keys" / "log.pub", key)
    said = strongroom("log", "verify", copy, "--key", key, "--json")
    assert said.json["logs"][0]["size"] == 300
    exact = tmp_path / "exact.pub"
    exact.write_text(said.json["logs"][0]["verifier_key"] + "\n")
    assert strongroom("log", "verify", copy, "--key", exact).code == 0
    assert strongroom("log", "verify", copy, "--json").refusal == "cli.log_unclear"
    (copy / "tile" / "0" / "000").write_bytes(b"x" * 8192)
    said = strongroom("log", "verify", copy, "--key", key, "--json")
    assert (said.code, said.refusal) == (9, "ledger.tile_altered")


def test_damage_has_its_exit_code(strongroom: Runs, home: Path) -> None:
    shutil.rmtree(home / "state" / LOGS / "gateway")
    said = strongroom("log", "verify", "--home", home, "--json")
    assert (said.code, said.refusal) == (9, "ledger.missing")
    said = strongroom("log", "verify", "--home", home, "--json", "--log", "operator")
    assert said.code == 0
    said = strongroom("log", "tail", "--home", home, "--json", "--log", "nothing")
    assert (said.code, said.refusal) == (5, "ledger.no_log")


def test_a_proof_goes_to_somebody_else(strongroom: Runs, home: Path, tmp_path: Path) -> None:
    key = home / "keys" / "log.pub"
    said = strongroom("log", "prove", "123", "--home", home, "--json")
    file = tmp_path / "proof.json"
    file.write_text(said.out)
    assert strongroom("log", "check", file, "--key", key, "--json").json["index"] == 123
    forged = {**said.json, "entry": said.json["entry"].replace("r-123", "r-124")}
    file.write_text(json.dumps(forged))
    assert (
        strongroom("log", "check", file, "--key", key, "--json").refusal == "ledger.proof_invalid"
    )
    file.write_text("{}")
    assert strongroom("log", "check", file, "--key", key, "--json").refusal == (
        "ledger.proof_malformed"
    )
    text = strongroom("log", "prove", "123", "--home", home)
    assert text.out.startswith("c2sp.org/tlog-proof@v1\nindex 123\n")
    assert '"r-123"' in text.err
    said = strongroom("log", "prove", "300", "--home", home, "--json")
    assert (said.code, said.refusal) == (5, "ledger.out_of_range")


def test_an_older_checkpoint_is_continued(strongroom: Runs, home: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    folder = home / "state" / LOGS / "gateway"
    shutil.copy(folder / "checkpoint", older)
    with open_log(home / "state", "gateway", LogKey.load(home / "keys" / "log.key")) as log:
        log.write(switched())
    said = strongroom("log", "consistency", older, "--home", home, "--json")
    assert (said.json["old_size"], said.json["size"]) == (300, 301)
    body = strongroom("log", "consistency", older, "--home", home).out
    assert body.startswith("old 300\n")
    assert body.endswith("\n\n" + (folder / "checkpoint").read_text())
    assert (
        strongroom("log", "verify", "--home", home, "--log", "gateway", "--older", older).code == 0
    )
    newer = tmp_path / "newer"
    shutil.copy(folder / "checkpoint", newer)
    shutil.copy(older, folder / "checkpoint")
    said = strongroom("log", "consistency", newer, "--home", home, "--json")
    assert (said.code, said.refusal) == (9, "ledger.truncated")


def test_tail(strongroom: Runs, home: Path) -> None:
    said = strongroom("log", "tail", "-n", "3", "--home", home, "--json")
    assert [json.loads(line)["index"] for line in said.out.splitlines()] == [297, 298, 299]
    said = strongroom("log", "tail", "--home", home, "--log", "operator")
    assert "Switched" in said.out
    assert "subject=small" in said.out


def test_a_key_is_made_once(strongroom: Runs, home: Path) -> None:
    said = strongroom("log", "init", "--home", home, "--json")
    assert (said.code, said.refusal) == (4, "ledger.key_exists")
