"""Every way out that we could think of, tried for real with and without walls."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strongroom.keeper.lockdown.primitives import PRIMITIVES
from strongroom.keeper.lockdown.selftest import JIT_ALLOWS, Outcome, run_selftest

from .children import drop_capabilities, run_child

NAMES = [primitive.name for primitive in PRIMITIVES]


@pytest.fixture(scope="module")
def no_exec() -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in run_selftest("no-exec")}


@pytest.fixture(scope="module")
def jit() -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in run_selftest("jit")}


@pytest.mark.parametrize("name", NAMES)
def test_it_gets_out_without_walls_and_not_behind_them(
    name: str, no_exec: dict[str, Outcome], jit: dict[str, Outcome]
) -> None:
    if name not in no_exec:
        pytest.skip(f"this kernel does not know how to {name}")
    assert no_exec[name].control, no_exec[name]
    assert no_exec[name].refused, no_exec[name]
    if name not in JIT_ALLOWS:
        assert jit[name].control, jit[name]
        assert jit[name].refused, jit[name]


def test_there_are_more_than_thirty_six_and_most_are_fatal(no_exec: dict[str, Outcome]) -> None:
    killed = sum(outcome.locked == "killed" for outcome in no_exec.values())
    worked = sum(outcome.unlocked == "worked" for outcome in no_exec.values())
    print(f"{len(no_exec)} of {len(NAMES)} primitives exist here: {worked} work without walls;")
    print(f"behind them {killed} end the process and {len(no_exec) - killed} meet an error")
    assert len(set(NAMES)) == len(NAMES)
    assert len(no_exec) >= 36
    assert killed >= 36


def test_the_jit_profile_allows_code_and_nothing_else(jit: dict[str, Outcome]) -> None:
    assert set(NAMES) >= JIT_ALLOWS
    assert not JIT_ALLOWS & set(jit)
    done = run_child(
        """
        import sys
        from strongroom.keeper.lockdown.primitives import PRIMITIVES
        from strongroom.keeper.lockdown.selftest import JIT_ALLOWS, attack
        for tried in PRIMITIVES:
            if tried.name in JIT_ALLOWS:
                outcome = attack(tried, "jit")
                print(outcome.locked, attack(tried, "no-exec").locked)
        """
    )
    assert done.stdout.splitlines() == ["worked errno EACCES"] * len(JIT_ALLOWS), done.stderr


def test_an_ordinary_user_gets_out_no_further(no_exec: dict[str, Outcome]) -> None:
    done = run_child("from strongroom.keeper.lockdown.selftest import main; main()", ordinary=True)
    outcomes = [Outcome(**row) for row in json.loads(done.stdout)]
    assert len(outcomes) >= 36
    assert [o for o in outcomes if not (o.refused and o.control)] == []


def test_the_attacks_leave_no_process_behind() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    child = subprocess.Popen(
        [sys.executable, "-m", "strongroom.keeper.lockdown.selftest"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.wait(60) == 0
    assert sorted(os.listdir("/proc/self/fd")) == before
    end = time.monotonic() + 10
    while alive_in_session(child.pid) and time.monotonic() < end:
        time.sleep(0.05)  # what was forked to be attacked ends when its attacker has
    assert alive_in_session(child.pid) == []


def alive_in_session(session: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append(folder.name)
    return found


def test_such_a_process_would_be_seen() -> None:
    command = [sys.executable, "-c", "import os; os.fork() or os.read(0, 1)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:
        child.wait(30)
        assert len(alive_in_session(child.pid)) == 1


def test_a_self_test_that_cannot_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from strongroom.errors import EnvironmentLacks

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EnvironmentLacks) as caught:
        run_selftest()
    assert caught.value.code == "keeper.selftest_failed"


def test_dropping_capabilities_is_what_ordinary_means() -> None:
    code = "import sys; sys.stdout.write(open('/proc/self/status').read())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=drop_capabilities,
        capture_output=True,
        text=True,
        check=True,
    )
    held = [line for line in done.stdout.splitlines() if line.startswith(("CapEff", "CapPrm"))]
    assert [int(line.split()[1], 16) for line in held] == [0, 0]
