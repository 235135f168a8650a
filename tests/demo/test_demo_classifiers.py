"""A classifier from training to the served answer: digits, sealed, served, asked."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from demo import classifiers, datasets
from demo.serving import Serving, find_keeper
from demo.stage import Stage


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("classifier") / "digits"
    return folder, classifiers.train("digits", folder)


def test_it_learns_what_it_has_not_seen(trained: tuple[Path, float]) -> None:
    assert trained[1] > 0.95


def test_what_is_written_is_what_the_engine_takes(trained: tuple[Path, float]) -> None:
    from strongroom.keeper.engine.classifier import parse_classifier_config

    config = parse_classifier_config((trained[0] / "config.json").read_bytes())
    assert config.labels == tuple("0123456789")
    assert config.input_shape == (64,)


def test_an_existing_folder_is_left_alone(trained: tuple[Path, float]) -> None:
    with pytest.raises(FileExistsError):
        classifiers.train("digits", trained[0])


@pytest.mark.slow
def test_served_it_gives_the_right_labels(trained: tuple[Path, float], tmp_path: Path) -> None:
    stage = Stage(tmp_path, trained[0])
    stage.run("init")
    stage.run("seal", stage.plain, "--out", stage.sealed)
    stage.api_key = stage.run("key", "create", "--org", "tests")["key"]
    data = datasets.digits()
    rows = data.test_inputs[:50]
    with Serving(stage) as serving:
        assert serving.said["rungs"] == {"*": "label"}
        labels = infer(stage, rows)
    expected = [data.labels[label] for label in data.test_labels[:50]]
    assert np.mean([a == b for a, b in zip(labels, expected, strict=True)]) > 0.9


@pytest.mark.slow
def test_nothing_runs_on_after_serving(trained: tuple[Path, float], tmp_path: Path) -> None:
    stage = Stage(tmp_path, trained[0])
    stage.run("init")
    stage.run("seal", stage.plain, "--out", stage.sealed)
    with pytest.raises(KeyboardInterrupt):
        interrupted(stage)
    assert stage.keeper_pid
    assert not Path(f"/proc/{stage.keeper_pid}").exists()


def test_no_keeper_is_found_where_none_runs() -> None:
    with pytest.raises(RuntimeError, match="no keeper"):
        find_keeper(1)


@pytest.mark.slow
def test_clothes_are_learnt_where_they_are_installed(tmp_path: Path) -> None:
    if not datasets.FASHION_FOLDER.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    assert classifiers.train("fashion", tmp_path / "fashion") > 0.8


def interrupted(stage: Stage) -> None:
    with Serving(stage):
        assert Path(f"/proc/{stage.keeper_pid}").exists()
        raise KeyboardInterrupt


def infer(stage: Stage, rows: np.ndarray) -> list[str]:
    body = {
        "inputs": [
            {
                "name": "input",
                "shape": list(rows.shape),
                "datatype": "FP32",
                "data": rows.ravel().tolist(),
            }
        ]
    }
    request = urllib.request.Request(
        f"{stage.url}/v2/models/{stage.model_name}/infer",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {stage.api_key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
    return list(next(out["data"] for out in answer["outputs"] if out["name"] == "label"))
