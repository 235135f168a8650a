"""``strongroom prove``: from a sealed model to a report about a copy of it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from safetensors.torch import save_file

from strongroom.exposure.cell import Cell
from strongroom.provenance.decoder import Decoder
from tests.cli.conftest import Runs
from tests.provenance.copies import altered, rotated_and_scaled, third_dropped, tiny


def written(model: Decoder, folder: Path) -> Path:
    """A model as Hugging Face lays it out."""
    folder.mkdir(parents=True)
    config = {"num_attention_heads": model.heads, "num_key_value_heads": model.key_heads}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = {"model": {"vocab": dict(model.vocabulary)}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    tensors = {name: value.contiguous() for name, value in model.tensors.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for seed in range(1, 9):
        written(tiny(seed), tmp_path / "library" / f"independent-{seed}")
    return tmp_path / "library"


@pytest.fixture
def home(tmp_path: Path, strongroom: Runs) -> Path:
    assert strongroom("init", "--name", "t", "--home", tmp_path / "home").code == 0
    return tmp_path / "home"


def test_a_copy_is_proven_and_a_stranger_is_not(
    tmp_path: Path, home: Path, library: Path, strongroom: Runs
) -> None:
    at = ("--home", home)
    plain, sealed = written(tiny(0), tmp_path / "plain"), tmp_path / "sealed"
    assert strongroom("seal", plain, "--out", sealed, *at).code == 0
    file, page = tmp_path / "tiny.fingerprint", tmp_path / "report.html"
    made = strongroom("prove", "fingerprint", sealed, file, "--json", *at)
    assert made.code == 0, made.err
    assert file.stat().st_mode & 0o077 == 0
    thief = altered(altered(tiny(0), rotated_and_scaled), third_dropped)
    stolen = written(thief, tmp_path / "stolen")
    words = ("--library", library, *at)

    early = strongroom("prove", "report", file, stolen, page, "--json", *words)
    assert early.refusal == "provenance.not_committed"
    assert not page.exists()
    registered = strongroom("prove", "register", file, "--json", *at)
    assert registered.json["digest"] == made.json["digest"]
    found = strongroom("prove", "report", file, stolen, page, "--json", *words).json
    assert found["verdict"] == "copy"
    assert found["p"] < 1e-3
    text = page.read_text()
    assert made.json["digest"] in text
    assert "does not prove" in text.lower()
    assert "http://" not in text
    assert "https://" not in text

    other = written(tiny(99), tmp_path / "other")
    for suspect, copy in ((stolen, True), (other, False)):
        cell = strongroom("prove", "detect", file, suspect, "--json", *words).json["cell"]
        figure = msgspec.convert(cell, Cell).figures[0]
        assert figure.null.n == 8
        assert figure.null.interval.holds(figure.measured.value) != copy
        assert (figure.p_value < 1e-3) == copy
    told = strongroom("prove", "detect", file, other, *words)
    assert told.code == 0
    assert "no copy found" in told.out


def test_what_cannot_be_compared_is_said(
    tmp_path: Path, home: Path, library: Path, strongroom: Runs
) -> None:
    plain, sealed = written(tiny(0), tmp_path / "plain"), tmp_path / "sealed"
    assert strongroom("seal", plain, "--out", sealed, "--home", home).code == 0
    file = tmp_path / "tiny.fingerprint"
    assert strongroom("prove", "fingerprint", sealed, file, "--home", home).code == 0
    assert (
        strongroom("prove", "fingerprint", sealed, file, "--home", home).code != 0
    )  # no overwriting
    empty = tmp_path / "empty"
    empty.mkdir()
    told = strongroom("prove", "detect", file, empty, "--library", library, "--json")
    assert told.refusal == "provenance.model_unreadable"
    written(tiny(0), library / "ours")
    told = strongroom("prove", "detect", file, plain, "--library", library, "--json")
    assert told.refusal == "provenance.library_not_independent"
    few = tmp_path / "few"
    written(tiny(3), few / "one")
    told = strongroom("prove", "detect", file, plain, "--library", few, "--json")
    assert told.refusal == "provenance.library_too_small"
    file.write_bytes(b"nonsense")
    told = strongroom("prove", "detect", file, plain, "--library", library, "--json")
    assert told.refusal == "provenance.fingerprint_malformed"
