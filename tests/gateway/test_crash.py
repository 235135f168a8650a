"""The short form of ``benchmarks/crash.py``: two kills under load, no reply without its record."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import crash


@pytest.mark.slow
def test_no_reply_is_missing_after_a_kill(tmp_path: Path) -> None:
    found = crash.run(tmp_path, kills=2, least=200, seconds=1.0)
    assert found["replies"] >= 200


def test_a_reply_without_its_record_would_be_noticed(tmp_path: Path) -> None:
    door = crash.Door(tmp_path)
    door.start()
    door.process.terminate()
    door.process.wait(20)
    door.keeper.wait(10)
    with pytest.raises(SystemExit, match="missing 1"):
        crash.Books(door).check({"req-never-recorded"})
