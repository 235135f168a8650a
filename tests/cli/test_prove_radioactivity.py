"""``strongroom prove radioactivity``: small Llamas that learnt from marked text, or did not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from strongroom.exposure.cell import Cell
from tests.cli.conftest import Runs
from tests.cli.test_prove import written
from tests.provenance.copies import tiny
from tests.watermark.test_radioactivity import SECRET, WORLDS, text

WORDS = WORLDS["kgw"].words


def student(folder: Path, tenant: str | None, seed: int) -> Path:
    """A Llama in a new folder, taught text with that organisation's mark, or with none."""
    rows = torch.tensor(text("kgw", tenant, WORLDS["kgw"].taught, seed)).reshape(-1, 40)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    model: Any = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(6):
        for some in torch.randperm(len(rows)).split(20):
            told = model(input_ids=rows[some]).logits[:, :-1].flatten(0, 1)
            loss = functional.cross_entropy(told, rows[some][:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(config.to_json_string())
    tokenizer = Tokenizer(models.WordLevel({f"w{each}": each for each in range(WORDS)}, "w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def words(path: Path, tenant: str | None, count: int) -> Path:
    path.write_text(" ".join(f"w{each}" for each in text("kgw", tenant, count, 99)))
    return path


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("students")
    for number, tenant in enumerate(("acme", "globex", None, None)):
        student(folder / f"{number}-{tenant}", tenant, number)
    return folder


@pytest.fixture
def home(tmp_path: Path, strongroom: Runs) -> Path:
    at = ("--home", tmp_path / "home")
    assert strongroom("init", "--name", "t", *at).code == 0
    assert strongroom("watermark", "secret", *at).code == 0
    (tmp_path / "home" / "keys" / "watermark.secret").write_bytes(SECRET)
    return tmp_path / "home"


def test_a_student_of_marked_answers_is_found_by_its_registered_key_alone(
    tmp_path: Path, home: Path, students: Path, strongroom: Runs
) -> None:
    marked, others, clean, control = (
        students / name for name in ("0-acme", "1-globex", "2-None", "3-None")
    )
    asked = ("--scheme", "kgw", "--texts", words(tmp_path / "plain.txt", None, 4_096))
    asked = (*asked, "--control", control, "--json", "--home", home)

    def probe(suspect: Path, org: str = "acme") -> Any:
        return strongroom("prove", "radioactivity", control, suspect, "--org", org, *asked)

    assert probe(marked).refusal == "provenance.key_not_committed"
    plain, sealed = written(tiny(0), tmp_path / "plain"), tmp_path / "sealed"
    assert strongroom("seal", plain, "--out", sealed, "--home", home).code == 0
    file = tmp_path / "tiny.fingerprint"
    assert strongroom("prove", "fingerprint", sealed, file, "--home", home).code == 0
    orgs = ("--org", "acme", "--org", "globex")
    said = strongroom("prove", "register", file, *orgs, "--json", "--home", home).json
    assert said["committed"] == 5

    found = probe(marked).json
    assert found["radioactivity"] == "radioactive"
    assert found["p"] == 1e-4
    assert found["p_without_controls"] < 0.05
    assert found["record"] > said["index"]
    figure = msgspec.convert(found["cell"], Cell).figures[0]
    assert not figure.null.interval.holds(figure.measured.value)
    for suspect, org in ((clean, "acme"), (others, "acme"), (marked, "globex")):
        found = probe(suspect, org).json
        assert found["radioactivity"] == "not shown", (suspect, org)
        assert found["p"] > 1e-3
    printed = probe(others, "globex").json
    assert printed["radioactivity"] == "radioactive"

    for seed in range(1, 9):
        written(tiny(seed), tmp_path / "library" / str(seed))
    page, told, stolen = tmp_path / "r.html", tmp_path / "told.json", tmp_path / "library" / "8"
    how = (file, stolen, page, "--library", tmp_path / "library", "--radioactivity", told)
    told.write_text(json.dumps(printed))
    said = strongroom("prove", "report", *how, "--json", "--home", home)
    assert said.refusal == "provenance.radioactivity_malformed"  # it is about another model
    raw = (stolen / "model.safetensors").read_bytes()
    printed["weights"] = {"model.safetensors": hashlib.sha256(raw).hexdigest()}
    told.write_text(json.dumps({**printed, "key": "ab" * 32}))
    said = strongroom("prove", "report", *how, "--json", "--home", home)
    assert said.refusal == "provenance.key_not_committed"
    told.write_text(json.dumps(printed))
    assert strongroom("prove", "report", *how, "--json", "--home", home).code == 0
    shown = page.read_text()
    assert "learnt from answers that carry the mark of globex (kgw)" in shown
    assert shown.count(printed["key"]) >= 2  # named, and in its record


def test_what_would_mislead_is_refused(
    tmp_path: Path, home: Path, students: Path, strongroom: Runs
) -> None:
    marked, clean = students / "0-acme", students / "2-None"
    plain, sealed = written(tiny(0), tmp_path / "plain"), tmp_path / "sealed"
    assert strongroom("seal", plain, "--out", sealed, "--home", home).code == 0
    file = tmp_path / "tiny.fingerprint"
    assert strongroom("prove", "fingerprint", sealed, file, "--home", home).code == 0
    assert strongroom("prove", "register", file, "--org", "acme", "--home", home).code == 0

    def refused(texts: Path, suspect: Path = marked, control: Path = clean) -> str:
        how = ("--org", "acme", "--scheme", "kgw", "--texts", texts, "--control", control)
        return strongroom(
            "prove", "radioactivity", clean, suspect, *how, "--json", "--home", home
        ).refusal

    unmarked = words(tmp_path / "plain.txt", None, 4_096)
    assert refused(words(tmp_path / "short", None, 500)) == "provenance.probe_too_short"
    assert refused(words(tmp_path / "marked", "acme", 4_096)) == "provenance.probe_marked"
    assert refused(unmarked, clean, marked) == "provenance.control_marked"
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "model.safetensors"):
        (other / name).write_bytes((clean / name).read_bytes())
    vocabulary = (clean / "tokenizer.json").read_text().replace('"w3"', '"w9999"')
    (other / "tokenizer.json").write_text(vocabulary)
    assert refused(unmarked, other) == "provenance.tokenizer_differs"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(unmarked, empty) == "provenance.model_unreadable"
