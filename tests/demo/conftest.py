"""The demonstration lies beside the package, not in it: put the checkout on the path.

A small stage for attacks: a home and two sealed releases, made by the real command line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from demo.safetensors_file import TensorSource, write_safetensors
from demo.stage import Stage


@pytest.fixture(scope="session")
def sealed_stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Two releases of a small model, sealed under a fresh home."""
    work = tmp_path_factory.mktemp("stage")
    stage = Stage(work, small_model(work / "plain"))
    stage.run("init")
    for sealed in (stage.older, stage.sealed):
        stage.run("seal", stage.plain, "--out", sealed)
    return stage


def small_model(folder: Path) -> Path:
    """A plain model of eight matrices, four of one shape, as a classifier's folder."""
    generator = np.random.default_rng(3)
    folder.mkdir()
    layers = [{"type": "linear", "name": f"l{i}", "features": 128} for i in range(8)]
    arrays = {f"l{i}.weight": generator.standard_normal((128, 128), np.float32) for i in range(8)}
    arrays |= {f"l{i}.bias": generator.standard_normal((128,), np.float32) for i in range(8)}
    sources = {
        name: TensorSource("F32", array.shape, lambda array=array: array)
        for name, array in arrays.items()
    }
    write_safetensors(folder / "model.safetensors", sources)
    config = {
        "model_type": "strongroom-classifier",
        "input_dtype": "F32",
        "input_shape": [128],
        "input_range": [0.0, 1.0],
        "labels": [str(number) for number in range(128)],
        "layers": layers,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder
