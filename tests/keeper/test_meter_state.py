"""The meter remembers over restarts and kill -9, and a damaged memory refuses the start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from strongroom.errors import ConfigurationRefused
from strongroom.keeper import egress, meter_state
from strongroom.keeper.egress import Budget
from strongroom.keeper.meter_state import FILE_BYTES, PAGE, MeterState

BUDGET = Budget(1000, 1000)


def opened(path: Path) -> MeterState:
    return MeterState(path, BUDGET, BUDGET)


def charge(state: MeterState, tenant: str, grains: int) -> bool:
    done = state.meter.charge(tenant, grains, state.now())
    state.commit()
    return done


def refused(path: Path) -> str:
    with pytest.raises(ConfigurationRefused) as caught:
        opened(path)
    return caught.value.code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meter"


def spend(path: Path, *amounts: int) -> None:
    state = opened(path)
    for grains in amounts:
        assert charge(state, "a", grains)


def test_a_restart_forgets_nothing(path: Path) -> None:
    spend(path, 100, 200, 300)
    state = opened(path)
    assert state.meter.spent(state.now()) == (600, 600)
    assert state.meter.room("a", state.now()) == 400
    assert state.meter.room("b", state.now()) == 400
    assert not charge(state, "a", 401)
    assert charge(state, "b", 400)


def test_uncommitted_charges_are_not_recorded(path: Path) -> None:
    """Negative control: it is the commit that records, so answers must wait for it."""
    state = opened(path)
    state.meter.charge("a", 500, state.now())
    del state
    state = opened(path)
    assert state.meter.spent(state.now()) == (0, 0)


def test_the_file_is_private_and_fixed_in_size(path: Path) -> None:
    spend(path, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == FILE_BYTES
    assert os.listdir(path.parent) == ["meter"]
    assert b"acme" not in path.read_bytes()


def test_no_tenant_name_is_stored(path: Path) -> None:
    state = opened(path)
    assert charge(state, "somebody.example", 1)
    del state
    raw = path.read_bytes()
    assert b"somebody" not in raw
    assert egress.owner_of("somebody.example") in raw


KILLED = """
    import os, sys, time
    from pathlib import Path
    from strongroom.keeper.egress import Budget
    from strongroom.keeper.meter_state import MeterState
    most = 2**40
    state = MeterState(Path(sys.argv[1]), Budget(most, most), Budget(most, most))
    while True:
        state.meter.charge("a", 1, state.now())
        state.commit()
        os.write(1, b".")  # an answer leaves after its commit
"""


def test_kill_nine_loses_no_charge_whose_answer_left(path: Path) -> None:
    most = Budget(2**40, 2**40)
    answers = 0
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), path], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        answers += len(child.stdout.read(500))
        child.send_signal(signal.SIGKILL)
        answers += len(child.stdout.read())
        child.wait()
        state = MeterState(path, most, most)
        recorded = state.meter.spent(state.now())[0]
        assert answers <= recorded <= answers + 1
        answers = recorded
        del state


def test_a_commit_cut_short_at_any_write_falls_back_to_the_copy_before(path: Path) -> None:
    """The three writes of a commit, each lost: the copy says WRITING, the other one counts."""
    spend(path, 100, 200)
    raw = bytearray(path.read_bytes())
    newest = PAGE * (1 + 2 * egress.DEPLOYMENT)  # the second commit went to copy A
    raw[newest : newest + 4] = meter_state.WRITING
    raw[newest + 4 : newest + 500] = bytes(496)
    path.write_bytes(raw)
    state = opened(path)
    assert state.meter.spent(state.now()) == (100, 100)


@pytest.mark.parametrize(
    "offset",
    [
        0,  # magic
        17,  # version
        100,  # padding of the header
        PAGE,  # state word
        PAGE + 6,  # sequence
        PAGE + 30,  # owner
        PAGE + 60,  # sums
        PAGE + meter_state._COPY_BYTES - 1,  # checksum
        PAGE * (1 + 2 * (meter_state.ACCOUNTS - 1)) + 60,  # the last account
    ],
)
def test_a_damaged_file_refuses_the_start(path: Path, offset: int) -> None:
    spend(path, 100, 200)
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 1
    path.write_bytes(raw)
    assert refused(path) == "keeper.egress_state_damaged"


def test_copies_of_another_account_are_not_accepted(path: Path) -> None:
    spend(path, 900)
    raw = bytearray(path.read_bytes())
    unspent = PAGE * (1 + 2 * 5)
    raw[PAGE : 3 * PAGE] = raw[unspent : unspent + 2 * PAGE]
    path.write_bytes(raw)
    assert refused(path) == "keeper.egress_state_damaged"


@pytest.mark.parametrize("size", [0, 1, PAGE, FILE_BYTES - 1, FILE_BYTES + 1])
def test_a_file_of_another_size_is_refused(path: Path, size: int) -> None:
    spend(path, 1)
    os.truncate(path, size)
    assert refused(path) == "keeper.egress_state_damaged"


def test_both_copies_torn_is_damage(path: Path) -> None:
    spend(path, 1)
    raw = bytearray(path.read_bytes())
    for start in (PAGE, 2 * PAGE):
        raw[start : start + 4] = meter_state.WRITING
    path.write_bytes(raw)
    assert refused(path) == "keeper.egress_state_damaged"


def test_two_keepers_cannot_share_a_meter(path: Path) -> None:
    state = opened(path)
    assert refused(path) == "keeper.egress_state_in_use"
    del state
    opened(path)


def test_the_lock_outlives_every_descriptor(path: Path) -> None:
    """Lock-down closes all descriptors; the mapping alone must hold the lock."""
    code = """
        import os, sys
        from pathlib import Path
        from strongroom.keeper.egress import Budget
        from strongroom.keeper.meter_state import MeterState
        state = MeterState(Path(sys.argv[1]), Budget(9, 9), Budget(9, 9))
        os.closerange(3, 64)
        state.meter.charge("a", 5, state.now())
        state.commit()
        print("ready", flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    assert refused(path) == "keeper.egress_state_in_use"
    child.communicate()
    state = opened(path)
    assert state.meter.spent(state.now()) == (5, 5)


def test_others_must_not_reach_the_file(path: Path) -> None:
    spend(path, 1)
    path.chmod(0o640)
    assert refused(path) == "keeper.egress_state_unusable"


def test_links_and_folders_are_refused(path: Path) -> None:
    spend(path, 1)
    link = path.with_name("link")
    link.symlink_to(path)
    assert refused(link) == "keeper.egress_state_unusable"
    assert refused(path.parent) == "keeper.egress_state_unusable"
    assert refused(path.parent / "missing" / "meter") == "keeper.egress_state_unusable"


def test_a_wall_clock_set_back_between_starts_gives_nothing_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(path, 1000)
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    state = opened(path)
    assert not charge(state, "a", 1)
    assert state.now() > 1_700_000_000


def test_a_clock_set_forward_while_serving_gives_nothing_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = opened(path)
    assert charge(state, "a", 1000)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert not charge(state, "a", 1)
