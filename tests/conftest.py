"""What several rooms' tests share: where the real model and the shared known answers lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of known answers and real evidence beside the checkout."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"no shared data at {data}")
    return data


@pytest.fixture(scope="session")
def smollm2_dir() -> Path:
    """The converted SmolLM2-135M-Instruct, as `make model` leaves it in the cache."""
    default = Path.home() / ".cache" / "strongroom" / "smollm2-135m-instruct"
    folder = Path(os.environ.get("STRONGROOM_TEST_MODEL", default))
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"no converted SmolLM2 at {folder}: run `make model` first")
    return folder
