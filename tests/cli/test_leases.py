"""What ``serve`` does about leases: what it records, and what it does when one has ended."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.cli import decisions
from strongroom.cli.children import Child
from strongroom.cli.reloads import until_asked
from strongroom.cli.supervisor import ChildFailed, Supervisor
from strongroom.errors import EnvironmentLacks, StrongroomError
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import look
from strongroom.ledger.reading import records
from strongroom.ledger.release_entries import KeyRefused, KeyReleased, LeaseRefused, LeaseRenewed
from strongroom.release.messages import Lease
from strongroom.release.record import Decision
from strongroom.release.recording import Recorded
from tests.cli.conftest import Made, Runs
from tests.cli.test_release_policy import written
from tests.cli.test_serve import served
from tests.keeper.test_patrol_reload import Lives

PATIENCE = 90.0


def decision(outcome: str, **more: Any) -> Decision:
    granted = (
        {"assurance": "SOFTWARE-ONLY", "lease": Lease(5, 9, 7)} if outcome != "refused" else {}
    )
    return Decision(
        **{
            "time": 5,
            "decision": "d-1",
            "service_key_id": "00" * 16,
            "policy_digest": "11" * 32,
            "session": "22" * 16,
            "outcome": outcome,
            "manifest_digest": "33" * 32,
            "evidence_kind": "local",
            "evidence_sha256": "44" * 32,
            **granted,
            **more,
        }
    )


def entries_of(state: Path, key: LogKey) -> list[Any]:
    folder, verified = look(state, decisions.LOG, key.public)
    return [each.entry for each in records(folder, verified.published.size, verified.unpublished)]


# --- what is recorded ----------------------------------------------------------------------------


def test_every_outcome_has_its_entry_and_its_acknowledgement(tmp_path: Path) -> None:
    key = LogKey.create(tmp_path / "log.key")
    (tmp_path / "state").mkdir(mode=0o700)
    made = [
        decision("released", key_id="k", key_kind="keyring"),
        decision("renewed", decision="d-2", renews="d-1"),
        decision("refused", decision="d-3", renews="d-1", reason="release.revoked"),
        decision("refused", decision="d-4", reason="release.denied"),
    ]
    for each in made:
        told = decisions.record(tmp_path / "state", key, msgspec.json.encode(each))
        assert msgspec.json.decode(told, type=Recorded).recorded == each.decision
        assert (
            entries_of(tmp_path / "state", key)[-1].decision == each.decision
        )  # before it is told
    released, renewed, lost, refused = entries_of(tmp_path / "state", key)
    assert isinstance(released, KeyReleased)
    assert isinstance(renewed, LeaseRenewed)
    assert (renewed.renews, renewed.lease_until) == ("d-1", 9)
    assert isinstance(lost, LeaseRefused)
    assert (lost.renews, lost.reason) == ("d-1", "release.revoked")
    assert isinstance(refused, KeyRefused)


def test_what_cannot_be_recorded_is_not_acknowledged(tmp_path: Path) -> None:
    """The thread that keeps the record for a tuning job or an audit: key release hears the end."""
    key = LogKey.create(tmp_path / "log.key")
    (tmp_path / "state").mkdir(mode=0o700)
    line = msgspec.json.encode(decision("released", key_id="k", key_kind="keyring")).decode()
    script = f"echo '{line}'; read -r word; echo \"heard $word\" >&2; echo nonsense; read -r word"
    child = started("release", script)
    keeping = decisions.Keeping(child, tmp_path / "state", key)
    with pytest.raises(StrongroomError) as failed:
        keeping.end()
    assert failed.value.code == "cli.bad_decision"
    assert len(entries_of(tmp_path / "state", key)) == 1
    child = started("release", f"echo '{line}'; read -r word; echo \"heard $word\" >&2")
    assert b'heard {"recorded":"d-1"}' in decisions.Keeping(child, tmp_path / "state", key).end()


# --- the supervisor ------------------------------------------------------------------------------


def started(name: str, script: str) -> Child:
    """A child of that name which runs ``script``."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(["sh", "-c", script], stdin=pipe, stdout=pipe, stderr=pipe)
    return Child(name, process)


class Children:
    """A supervisor over three scripts; ``ready`` is what the gateway's would say."""

    def __init__(self, decided: Callable[[bytes], bytes], **scripts: str) -> None:
        ready = subprocess.Popen(["sh", "-c", "echo '{}'"], stdout=subprocess.PIPE)
        assert ready.stdout is not None
        self.ready = ready
        waiting = {
            "release": "exec sleep 60",
            "keeper": "exec sleep 60",
            "gateway": "exec sleep 60",
        }
        self.all = [started(name, script) for name, script in {**waiting, **scripts}.items()]
        self.supervisor = Supervisor(self.all, ready.stdout.fileno(), decided, lambda _: None)

    def close(self) -> None:
        self.supervisor.stop()
        self.ready.wait()
        for each in (*self.all, Child("ready", self.ready)):
            for stream in (each.process.stdin, each.process.stdout, each.process.stderr):
                if stream is not None:
                    stream.close()


Supervised = Callable[..., Children]


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    monkeypatch.setattr("strongroom.cli.supervisor.DRAIN_SECONDS", 0.1)
    made: list[Children] = []

    def make(decided: Callable[[bytes], bytes] = lambda _: b"", **scripts: str) -> Children:
        made.append(Children(decided, **scripts))
        return made[-1]

    yield make
    for each in made:
        each.close()


def said(code: str, exit_code: int) -> str:
    """A script's end with that error."""
    return f"""echo '{{"error":"{code}","message":"M","action":"A"}}' >&2; exit {exit_code}"""


def test_key_release_is_told_once_its_decision_is_recorded(
    supervised: Supervised, capfd: pytest.CaptureFixture[str]
) -> None:
    recorded: list[bytes] = []

    def decided(line: bytes) -> bytes:
        recorded.append(line)
        return b"it is\n"

    children = supervised(
        decided,
        release='echo made; read -r word; echo "heard $word" >&2; exec sleep 60',
        keeper="sleep 1; " + said("keeper.lease_refused", 4),
    )
    assert children.supervisor.wait_ready() == {}
    with pytest.raises(ChildFailed):
        children.supervisor.watch()
    assert recorded == [b"made"]
    assert "release: heard it is" in capfd.readouterr().err


def test_a_record_that_fails_stops_a_start_and_not_a_service(
    supervised: Supervised, capfd: pytest.CaptureFixture[str]
) -> None:
    def decided(_: bytes) -> bytes:
        raise EnvironmentLacks("ledger.no_room", "No room.", action="Make some.")

    talking = 'echo made; read -r word; echo "heard $word" >&2'
    children = supervised(decided, release=f"{talking}; exec sleep 60")
    children.supervisor._ready.clear()

    def turn() -> None:
        for _ in range(200):
            children.supervisor._turn()

    with pytest.raises(EnvironmentLacks, match="no_room"):
        turn()
    later = supervised(
        decided,
        release=f"sleep 1; {talking}; exec sleep 60",
        keeper="sleep 2; " + said("keeper.lease_over", 4),
    )
    assert later.supervisor.wait_ready() == {}
    with pytest.raises(ChildFailed, match="lease_over"):
        later.supervisor.watch()
    printed = capfd.readouterr().err
    assert "not in the record: No room." in printed
    assert "heard" not in printed


def test_a_key_release_that_is_gone_is_borne_until_the_keeper_ends(
    supervised: Supervised, capfd: pytest.CaptureFixture[str]
) -> None:
    children = supervised(
        release="sleep 1; " + said("process.failed", 1),
        keeper="sleep 3; " + said("keeper.lease_over", 4),
    )
    began = time.monotonic()
    assert children.supervisor.wait_ready() == {}
    with pytest.raises(ChildFailed) as failed:
        children.supervisor.watch()
    assert time.monotonic() - began >= 2.5
    assert (failed.value.code, failed.value.exit_code) == ("keeper.lease_over", 4)
    assert capfd.readouterr().err.count("Key release has ended") == 1


def test_a_key_release_that_fails_at_the_start_is_the_reason(supervised: Supervised) -> None:
    children = supervised(release=said("keys.wrong_passphrase", 4))
    children.supervisor._selector.unregister(children.ready.stdout)
    with pytest.raises(ChildFailed) as failed:
        children.supervisor.wait_ready()
    assert (failed.value.code, failed.value.exit_code) == ("keys.wrong_passphrase", 4)


def test_the_keeper_s_last_word_has_its_exit_code_whoever_passes_it_on(
    supervised: Supervised,
) -> None:
    children = supervised(
        gateway="sleep 1; " + said("keeper.lease_refused", 7),
        keeper="sleep 1.3; " + said("keeper.lease_refused", 4),
    )
    assert children.supervisor.wait_ready() == {}
    with pytest.raises(ChildFailed) as failed:
        children.supervisor.watch()
    assert (failed.value.code, failed.value.exit_code) == ("keeper.lease_refused", 4)


def test_a_lease_that_ran_out_is_asked_for_anew_and_a_refused_one_is_not() -> None:
    assert until_asked(Lives("keeper.lease_over", 15)) == 15
    lives = Lives("keeper.lease_refused", 15)
    with pytest.raises(ChildFailed, match="lease_refused"):
        until_asked(lives)
    assert lives.ends == [15]
    lives = Lives(*["keeper.lease_over"] * 9)
    with pytest.raises(ChildFailed, match="lease_over"):
        until_asked(lives)
    assert len(lives.ends) == 5


# --- end to end ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_revoking_a_model_stops_its_keeper_within_the_lease(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    policy = written(strongroom, tmp_path / "policy.toml", approvals=0)
    text, seconds = re.subn(r"(?m)^#? ?seconds = .*$", "seconds = 60", policy.read_text())
    text, grace = re.subn(r"(?m)^#? ?grace = .*$", "grace = 59", text)
    assert (seconds, grace) == (1, 1)
    policy.write_text(text)
    key = LogKey.load(made.home / "keys" / "log.key")
    with served(made, "--release-policy", str(policy)) as server:
        server.ready()
        until = time.monotonic() + PATIENCE
        while not isinstance(entries_of(made.home / "state", key)[-1], LeaseRenewed):
            assert time.monotonic() < until
            time.sleep(0.1)
        words = ("release", "revoke", "tiny", "--reason", "leaked", "--home", made.home)
        assert strongroom(*words).code == 0
        assert server.error()["error"] == "keeper.lease_refused"
        assert server.end() == 4
    released, *renewed, refused = entries_of(made.home / "state", key)
    assert isinstance(released, KeyReleased)
    assert {type(each) for each in renewed} == {LeaseRenewed}
    assert isinstance(refused, LeaseRefused)
    assert (refused.reason, refused.renews) == ("release.revoked", released.decision)
