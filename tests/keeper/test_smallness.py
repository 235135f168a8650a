"""The process that holds plaintext weights stays small enough to be read, and loads no more than it
needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import strongroom.keeper

FOLDER = Path(strongroom.keeper.__file__).parent
MOST_LINES = 7450
"""Of the keeper's own source: room, engine and walls; comments and blank lines included."""

MOST_OF_OURS = 120
"""Modules of strongroom that a serving keeper has loaded."""

UNWANTED = {
    # what faces a network, renders, prints or parses
    *("uvicorn", "uvloop", "httptools", "starlette", "fastapi", "h11", "httpx", "requests"),
    *("jinja2", "markupsafe", "tokenizers", "transformers", "safetensors", "openai", "sklearn"),
    *("rich", "click", "boto3", "botocore", "hvac", "sqlite3", "PIL", "torchvision"),
    # what can run code that it is given
    *("pip", "setuptools", "IPython", "cloudpickle", "dill"),
}

OUTSIDE = {
    *("strongroom.gateway", "strongroom.cli", "strongroom.store"),
    *("strongroom.artifact.seal", "strongroom.release.server", "strongroom.keys.keyring"),
}

IMPORT = """
import sys
import strongroom.keeper.__main__
import strongroom.keeper.process
print("\\n".join(sys.modules))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_keepers_own_lines_have_a_cap() -> None:
    files = sorted(FOLDER.rglob("*.py"))
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    for path, count in lines.items():
        print(f"{count:5} {path.relative_to(FOLDER)}")
    print(f"{sum(lines.values()):5} in all, of {MOST_LINES}")
    assert sum(lines.values()) <= MOST_LINES


def test_a_keeper_loads_no_web_framework_and_nothing_that_renders(loaded: set[str]) -> None:
    top = {name.partition(".")[0] for name in loaded}
    assert {"torch", "msgspec", "strongroom"} <= top  # positive control: the list is a real one
    print(f"{len(loaded)} modules of {len(top)} packages: {' '.join(sorted(top))}")
    assert not top & UNWANTED


def test_a_keeper_loads_none_of_the_other_rooms(loaded: set[str]) -> None:
    ours = {name for name in loaded if name.startswith("strongroom")}
    print(f"{len(ours)} modules of our own")
    assert "strongroom.keeper.process" in ours
    assert not {name for name in ours if any(name.startswith(room) for room in OUTSIDE)}
    assert len(ours) <= MOST_OF_OURS


def test_the_pure_meter_needs_no_torch() -> None:
    """So that the command line can explain a budget without loading an engine."""
    code = "import sys, strongroom.keeper.egress; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "msgspec"} & set(done.stdout.split())
