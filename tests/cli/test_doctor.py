"""``doctor``: what it finds good, weak and broken."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from strongroom.cli import checks
from strongroom.keeper import lockdown
from strongroom.keeper.lockdown.probe import ProbeResult
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from tests.cli.conftest import Made, Runs


@pytest.fixture
def walls(monkeypatch: pytest.MonkeyPatch) -> dict[str, ProbeResult]:
    """What the probe of the kernel is made to say."""
    found = {"seccomp": ProbeResult(True, "on"), "landlock": ProbeResult(False, "not built in")}
    monkeypatch.setattr(lockdown, "probe", lambda: found)
    return found


def test_a_good_home_passes(strongroom: Runs, made: Made, walls: dict[str, ProbeResult]) -> None:
    said = strongroom("--home", made.home, "doctor", "--json")
    assert (said.code, said.json["ok"]) == (0, True)
    states = {check["name"]: check["state"] for check in said.json["checks"]}
    assert states["home"] == states["cryptography"] == states["wall seccomp"] == "ok"
    assert states["wall landlock"] == states["egress, 135 million"] == "warn"
    assert all(check["action"] for check in said.json["checks"] if check["state"] != "ok")
    text = strongroom("--home", made.home, "doctor")
    assert text.code == 0
    assert "0 failed" in text.out


def test_a_missing_wall_that_is_required_fails(
    strongroom: Runs, made: Made, walls: dict[str, ProbeResult]
) -> None:
    path = made.home / "strongroom.toml"
    path.write_text('[serving]\nrequired_walls = ["landlock"]\n')
    said = strongroom("--home", made.home, "doctor", "--json")
    assert (said.code, said.json["ok"]) == (6, False)
    failed = [check["name"] for check in said.json["checks"] if check["state"] == "fail"]
    assert failed == ["wall landlock"]


def test_an_exposed_home_fails_and_no_home_warns(
    strongroom: Runs, made: Made, tmp_path: Path, walls: dict[str, ProbeResult]
) -> None:
    (made.home / "keys").chmod(0o755)
    said = strongroom("--home", made.home, "doctor", "--json")
    assert said.code == 6
    assert said.json["checks"][0]["state"] == "fail"
    said = strongroom("--home", tmp_path / "none", "doctor", "--json")
    assert said.code == 0
    assert said.json["checks"][0]["state"] == "warn"


def test_it_verifies_the_record_and_says_who_writes_it(
    strongroom: Runs, made: Made, walls: dict[str, ProbeResult]
) -> None:
    def record() -> dict[str, dict[str, str]]:
        said = strongroom("--home", made.home, "doctor", "--json").json["checks"]
        return {check["name"]: check for check in said if check["name"].startswith("record")}

    strongroom("--home", made.home, "tenant", "create", "acme")
    found = record()
    assert {check["state"] for check in found.values()} == {"ok"}
    assert re.match(
        r"verifies; 2 records, the last of 20\d\d-.* UTC; nobody",
        found["record, operator"]["found"],
    )
    key = LogKey.load(made.home / "keys/log.key")
    with open_log(made.home / "state", "gateway", key):
        assert f"written by process {os.getpid()}" in record()["record, gateway"]["found"]
    tile = next(path for path in (made.home / "state/log/operator").rglob("*") if path.is_file())
    tile.write_bytes(b"")
    assert record()["record, operator"]["state"] == "fail"
    shutil.rmtree(made.home / "state/log")
    shutil.rmtree(made.home / "state/log.seen")
    gone = record()["record, operator"]
    assert gone["state"] == "fail"
    assert gone["action"]


HEAD = "Filename Type Size Used Priority\n"


@pytest.mark.parametrize(
    ("lines", "uuid", "state"),
    [
        ("", "", "ok"),
        ("/dev/sda2 partition 1 0 -2\n", "", "warn"),
        ("/dev/zram0 partition 1 0 -2\n", "", "ok"),
        ("/dev/dm-0 partition 1 0 -2\n", "CRYPT-PLAIN-swap", "ok"),
        ("/dev/dm-0 partition 1 0 -2\n", "LVM-abc", "warn"),
        ("/swapfile file 1 0 -2\n", "", "warn"),
    ],
)
def test_swap(tmp_path: Path, lines: str, uuid: str, state: str) -> None:
    swaps, blocks = tmp_path / "swaps", tmp_path / "block"
    swaps.write_text(HEAD + lines)
    if uuid:
        (blocks / "dm-0" / "dm").mkdir(parents=True)
        (blocks / "dm-0" / "dm" / "uuid").write_text(uuid + "\n")
    assert checks.check_swap(swaps, blocks).state == state


@pytest.mark.parametrize(("scope", "state"), [("0", "warn"), ("1", "ok"), (None, "warn")])
def test_ptrace(tmp_path: Path, scope: str | None, state: str) -> None:
    path = tmp_path / "scope"
    if scope is not None:
        path.write_text(scope + "\n")
    assert checks.check_ptrace(path).state == state


@pytest.mark.parametrize(
    ("setting", "state"), [("always [madvise] never", "ok"), ("always madvise [never]", "warn")]
)
def test_huge_pages(tmp_path: Path, setting: str, state: str) -> None:
    path = tmp_path / "enabled"
    path.write_text(setting + "\n")
    assert checks.check_huge_pages(path).state == state


def test_a_home_in_memory_is_warned_of(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    root = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
    inner = f"23 22 0:30 / {tmp_path} rw - tmpfs tmpfs rw\n"
    mounts.write_text(root + inner)
    assert checks.check_storage(tmp_path, mounts).state == "warn"
    mounts.write_text(root)
    assert "ext4" in checks.check_storage(tmp_path, mounts).found


def test_an_old_cryptography_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_cryptography().state == "ok"
    monkeypatch.setattr(checks, "version", lambda _name: "49.0.1")
    assert checks.check_cryptography().state == "fail"


def test_the_probe_of_this_kernel_is_shown_wall_by_wall() -> None:
    names = [check.name for check in checks.check_walls(None)]
    assert {f"wall {name}" for name in lockdown.WALLS} <= set(names)


def test_attacks_that_get_through_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    from strongroom.keeper.lockdown import selftest

    def outcome(name: str, refused: bool, control: bool = True) -> selftest.Outcome:
        locked = "killed" if refused else "worked"
        return selftest.Outcome(name, "network", "worked", locked, refused, control)

    tried = [outcome("a socket", True), outcome("a file", True, control=False)]
    monkeypatch.setattr(selftest, "run_selftest", lambda _profile: tried)
    found = {check.name: check.state for check in checks.check_attacks("no-exec")}
    assert found == {"attack a file": "warn", "attacks": "ok"}
    tried.append(outcome("a child", False))
    found = {check.name: check.state for check in checks.check_attacks("no-exec")}
    assert found["attack a child"] == found["attacks"] == "fail"
    tried.clear()
    assert [check.state for check in checks.check_attacks("no-exec")] == ["fail"]


def test_the_attacks_on_this_kernel_are_refused() -> None:
    [*_, last] = checks.check_attacks("no-exec")
    assert (last.name, last.state) == ("attacks", "ok")
