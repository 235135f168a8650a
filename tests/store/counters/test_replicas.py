"""Four processes spend one budget: the short form of benchmarks/limits.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[3] / "benchmarks" / "limits.py"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_replicas_never_overshoot_and_leave_little() -> None:
    pytest.importorskip("redis", reason="the extra `redis` is not installed")
    words = [sys.executable, BENCH, "--runs", "1", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    ours = [each for each in found if each["kind"] == "redis"]
    assert {each["budget"] for each in ours} == {"requests", "tokens", "bits"}
    for each in ours:
        assert each["over"] == 0
        assert each["used"] >= 0.98
    control = [each["over"] for each in found if each["kind"] == "check, then add"]
    assert max(control) > 0  # the bench can see it
