"""After ``warm_up`` the engines generate no machine code, and they bring few modules along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = """
import ctypes, random, sys, torch
torch.set_num_threads(1)
from keeper.engine.models import drain, engine_of, greedy, make
engine = engine_of(make(), max_streams=5)
"""
FORBID = """
PR_SET_MDWE = 65
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, 1, 0, 0, 0) != 0:
    sys.exit(77)
"""
SERVE = """
rng = random.Random(4)
for number in range(24):
    engine.admit(greedy(number, rng.choices(range(3, 199), k=rng.randrange(1, 200)), 1 + number))
    engine.step()
drain(engine)
print("served")
"""
TESTS = str(Path(__file__).resolve().parents[2])


def child(code: str) -> subprocess.CompletedProcess[str]:
    start = f"import sys; sys.path.insert(0, {TESTS!r})\n"
    return subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
def test_every_shape_is_served_where_new_executable_pages_are_forbidden() -> None:
    done = child(PREPARE + "engine.warm_up()\n" + FORBID + SERVE)
    if done.returncode == 77:
        pytest.skip("this kernel has no memory-deny-write-execute")
    assert done.stdout.strip() == "served", done.stderr[-2_000:]


@pytest.mark.slow
def test_without_warm_up_the_same_requests_fail_there() -> None:
    """Positive control: the wall would have been felt."""
    done = child(PREPARE + FORBID + SERVE)
    if done.returncode == 77:
        pytest.skip("this kernel has no memory-deny-write-execute")
    assert "served" not in done.stdout


def test_the_engine_needs_no_framework_beyond_torch() -> None:
    code = (
        "packages = lambda: {name.split('.')[0] for name in sys.modules}\n"
        "import torch; before = packages()\n"
        "import strongroom.keeper.engine.factory\n"
        "print(*sorted(packages() - before - set(sys.stdlib_module_names)))\n"
    )
    assert child(code).stdout.split() == ["msgspec", "strongroom"]
